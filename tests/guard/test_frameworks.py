"""What frameworks call on the event loop, and queries that no line of the project names."""

from pathlib import Path

import pytest
from twins import Twins, check

CASES = {
    "tool_of_an_mcp_server": Twins(
        "OFF103",
        "error",
        "from mcp.server.fastmcp import FastMCP\n\nmcp = FastMCP()\n\n"
        "@mcp.tool()\ndef pause() -> str:\n    time.sleep(1)\n    return ''\n",
        "from mcp.server.fastmcp import FastMCP\n\nmcp = FastMCP()\n\n"
        "@mcp.tool()\nasync def pause() -> str:\n    await asyncio.sleep(1)\n    return ''\n",
    ),
    "resolver_of_strawberry": Twins(
        "OFF101",
        "warning",
        "import strawberry\n\n@strawberry.type\nclass Query:\n"
        "    @strawberry.field\n    def orders(self) -> int:\n"
        "        return Order.objects.count()\n",
        "import strawberry\n\n@strawberry.type\nclass Query:\n    @strawberry.field\n"
        "    async def orders(self) -> int:\n        return await Order.objects.acount()\n",
    ),
    "choice_by_the_running_loop": Twins(
        "OFF101",
        "warning",
        """
import strawberry

def finish():
    return list(Order.objects.all())

@strawberry.type
class Query:
    @strawberry.field
    def orders(self) -> list[int]:
        return finish()
""",
        """
import strawberry
from strawberry.utils.inspect import in_async_context

def finish():
    return list(Order.objects.all())

@strawberry.type
class Query:
    @strawberry.field
    def orders(self) -> list[int]:
        return sync_to_async(finish)() if in_async_context() else finish()
""",
    ),
    "plain_handler_of_an_async_consumer": Twins(
        "OFF103",
        "error",
        "from channels.generic.websocket import AsyncWebsocketConsumer\n\n"
        "class Chat(AsyncWebsocketConsumer):\n    def receive(self, text_data):\n"
        "        time.sleep(1)\n",
        "from channels.generic.websocket import WebsocketConsumer\n\n"
        "class Chat(WebsocketConsumer):\n    def receive(self, text_data):\n"
        "        time.sleep(1)\n",
    ),
    "authentication_of_ninja": Twins(
        "OFF101",
        "warning",
        "from ninja.security import HttpBearer\n\nclass Token(HttpBearer):\n"
        "    def authenticate(self, request, token):\n"
        "        return Customer.objects.filter(name=token).first()\n",
        "from ninja.security import HttpBearer\n\nclass Token(HttpBearer):\n"
        "    async def authenticate(self, request, token):\n"
        "        return await Customer.objects.filter(name=token).afirst()\n",
    ),
    "callback_of_the_loop": Twins(
        "OFF103",
        "error",
        "def done():\n    time.sleep(1)\n\nasync def view(request):\n"
        "    asyncio.get_running_loop().call_later(1, done)\n",
        "def done():\n    time.sleep(1)\n\nasync def view(request):\n"
        "    await asyncio.get_running_loop().run_in_executor(None, done)\n",
    ),
    "default_of_a_cached_value": Twins(
        "OFF101",
        "error",
        "from django.core.cache import cache\n\ndef load():\n    return Order.objects.first()\n\n"
        "async def view(request):\n    return await cache.aget_or_set('order', load)\n",
        "from django.core.cache import cache\n\nasync def view(request):\n"
        "    order = await Order.objects.afirst()\n"
        "    return await cache.aget_or_set('order', order)\n",
    ),
    "clean_of_a_form": Twins(
        "OFF101",
        "error",
        """
from django import forms

class OrderForm(forms.Form):
    def clean_name(self):
        return Customer.objects.get(name="ann")

async def view(request):
    form = OrderForm(request.POST)
    return form.is_valid()
""",
        """
from django import forms

class OrderForm(forms.Form):
    def clean_name(self):
        return Customer.objects.get(name="ann")

async def view(request):
    form = OrderForm(request.POST)
    return await sync_to_async(form.is_valid)()
""",
    ),
    "field_of_a_serializer": Twins(
        "OFF101",
        "error",
        """
class OrderSerializer(serializers.Serializer):
    count = serializers.SerializerMethodField()

    def get_count(self, order):
        return Line.objects.filter(order=order).count()

async def view(request, pk):
    serializer = OrderSerializer(await Order.objects.aget(pk=pk))
    return serializer.data
""",
        """
class OrderSerializer(serializers.Serializer):
    count = serializers.SerializerMethodField()

    def get_count(self, order):
        return Line.objects.filter(order=order).count()

def view(request, pk):
    return OrderSerializer(Order.objects.get(pk=pk)).data
""",
    ),
    "object_permissions": Twins(
        "OFF101",
        "warning",
        "from rest_framework.generics import GenericAPIView\n\nclass Page(GenericAPIView):\n"
        "    async def load(self, order):\n"
        "        self.check_object_permissions(self.request, order)\n",
        "from rest_framework.generics import GenericAPIView\n\nclass Page(GenericAPIView):\n"
        "    async def load(self, order):\n"
        "        await sync_to_async(self.check_object_permissions)(self.request, order)\n",
    ),
    "manager_of_an_unknown_row": Twins(
        "OFF101",
        "warning",
        "async def view(request, order):\n    return order.tags.first()\n",
        "async def view(request, order):\n    return order.tags.get('new')\n",
    ),
    "filtered_manager_of_an_unknown_row": Twins(
        "OFF101",
        "warning",
        "async def view(request, found):\n    return found.orders.filter(paid=True).count()\n",
        "async def view(request, found):\n    return found.orders.count('paid')\n",
    ),
    "relation_of_a_response": Twins(
        "OFF101",
        "warning",
        """
from ninja import ModelSchema

class OrderOut(ModelSchema):
    tags: list[int]

    class Meta:
        model = Order
        fields = ["id"]

@router.get("/", response=list[OrderOut])
async def orders(request):
    return [order async for order in Order.objects.all()]
""",
        """
from ninja import ModelSchema

class OrderOut(ModelSchema):
    tags: list[int]

    class Meta:
        model = Order
        fields = ["id"]

@router.get("/", response=list[OrderOut])
async def orders(request):
    return [order async for order in Order.objects.prefetch_related("tags")]
""",
    ),
    "user_in_a_variable": Twins(
        "OFF102",
        "error",
        "class Log:\n    async def __call__(self, request):\n"
        "        user = getattr(request, 'user', None)\n        return user.pk\n",
        "class Log:\n    async def __call__(self, request):\n"
        "        user = await request.auser()\n        return user.pk\n",
    ),
    "session_of_channels": Twins(
        "OFF103",
        "error",
        "from channels.generic.websocket import AsyncWebsocketConsumer\n\n"
        "class Chat(AsyncWebsocketConsumer):\n    async def receive(self, text_data):\n"
        "        self.scope['session'].save()\n",
        "from channels.generic.websocket import AsyncWebsocketConsumer\n\n"
        "class Chat(AsyncWebsocketConsumer):\n    async def receive(self, text_data):\n"
        "        await sync_to_async(self.scope['session'].save)()\n",
    ),
    "row_in_a_log_line": Twins(
        "OFF102",
        "error",
        "import logging\n\nlogger = logging.getLogger(__name__)\n\nasync def view(request, pk):\n"
        "    order = await Order.objects.aget(pk=pk)\n    logger.info('%s', order)\n",
        "import logging\n\nlogger = logging.getLogger(__name__)\n\nasync def view(request, pk):\n"
        "    order = await Order.objects.aget(pk=pk)\n    logger.info('%s', order.pk)\n",
    ),
    "row_of_another_function": Twins(
        "OFF102",
        "error",
        "async def find(pk):\n    return await Order.objects.aget(pk=pk)\n\n"
        "async def view(request, pk):\n"
        "    order = await find(pk)\n    return order.customer.name\n",
        "async def find(pk):\n"
        "    return await Order.objects.select_related('customer').aget(pk=pk)\n\n"
        "async def view(request, pk):\n"
        "    order = await find(pk)\n    return order.customer.name\n",
    ),
    "row_that_another_function_gets": Twins(
        "OFF102",
        "warning",
        "async def tell(order):\n    return order.customer.name\n\n"
        "async def view(request, pk):\n    order = await Order.objects.aget(pk=pk)\n"
        "    return await tell(order)\n",
        "async def tell(order):\n    return order.customer_id\n\n"
        "async def view(request, pk):\n    order = await Order.objects.aget(pk=pk)\n"
        "    return await tell(order)\n",
    ),
    "permissions_of_a_controller": Twins(
        "OFF101",
        "warning",
        "from ninja_extra import ControllerBase\n\nclass Orders(ControllerBase):\n"
        "    async def load(self, order):\n        self.check_object_permissions(order)\n",
        "from ninja_extra import ControllerBase\n\nclass Orders(ControllerBase):\n"
        "    async def load(self, order):\n"
        "        await sync_to_async(self.check_object_permissions)(order)\n",
    ),
    "mixin_of_a_heir": Twins(
        "OFF102",
        "error",
        "class Base(View):\n    async def get(self, request):\n        return None\n\n"
        "class Page(LoginRequiredMixin, Base):\n    pass\n",
        "class Base(View):\n    async def get(self, request):\n        return None\n\n"
        "class Page(Base):\n    pass\n",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_what_a_framework_calls_is_found(tmp_path: Path, name: str) -> None:
    check(CASES[name], tmp_path)

"""The linter follows rows through lists and threads, and knows which relations came with them."""

from pathlib import Path

import pytest
from twins import Twins, check, numbers

SCHEMAS = """
from ninja import Field, Schema

class CustomerOut(Schema):
    name: str

class OrderOut(Schema):
    id: int
    customer: CustomerOut

class OrderFlat(Schema):
    customer_name: str = Field(..., alias="customer.name")

"""
SERIALIZERS = """
class TagSerializer(serializers.ModelSerializer):
    class Meta:
        model = Order
        fields = ["id", "tags"]

class OrderSerializer(serializers.ModelSerializer):
    customer = serializers.StringRelatedField()

    class Meta:
        model = Order
        fields = ["id", "customer"]

"""
# By name: the rule, its severity on the wrong code, the wrong code, the right code.
KINDS = {
    "list_of_rows": Twins(
        "OFF102",
        "error",
        """
async def view(request):
    orders = [order async for order in Order.objects.filter(paid=True)]
    return [order.customer.name for order in orders]
""",
        """
async def view(request):
    query = Order.objects.filter(paid=True).select_related("customer")
    orders = [order async for order in query]
    return [order.customer.name for order in orders]
""",
    ),
    "item_of_a_list": Twins(
        "OFF102",
        "error",
        """
async def view(request):
    orders = [order async for order in Order.objects.all()]
    return orders[0].pk, first(orders)

def first(orders):
    return orders[0]

async def other(request):
    orders = [order async for order in Order.objects.all()]
    order = orders[0]
    return order.customer.name
""",
        """
async def other(request):
    orders = [order async for order in Order.objects.all()]
    order = orders[0]
    return order.customer_id
""",
    ),
    "list_of_a_thread": Twins(
        "OFF102",
        "error",
        """
async def view(request):
    orders = await sync_to_async(list)(Order.objects.all())
    for order in orders:
        print(order.customer.name)
""",
        """
async def view(request):
    orders = await sync_to_async(list)(Order.objects.select_related("customer"))
    for order in orders:
        print(order.customer.name)
""",
    ),
    "list_of_a_function_in_a_thread": Twins(
        "OFF102",
        "error",
        """
@sync_to_async
def load():
    return list(Order.objects.all())

async def view(request):
    return [order.customer.name for order in await load()]
""",
        """
@sync_to_async
def load():
    return [order.customer.name for order in Order.objects.all()]

async def view(request):
    return [name for name in await load()]
""",
    ),
    "row_of_a_lambda": Twins(
        "OFF102",
        "error",
        """
async def view(request, pk):
    order = await sync_to_async(lambda: Order.objects.get(pk=pk))()
    return order.customer.name
""",
        """
async def view(request, pk):
    order = await sync_to_async(lambda: Order.objects.get(pk=pk).customer)()
    return order.name
""",
    ),
    "another_relation_than_the_fetched_one": Twins(
        "OFF102",
        "error",
        """
async def view(request, pk):
    order = await Order.objects.select_related("customer").aget(pk=pk)
    return order.customer.name, order.parent.pk
""",
        """
async def view(request, pk):
    order = await Order.objects.select_related("customer", "parent").aget(pk=pk)
    return order.customer.name, order.parent.pk
""",
    ),
    "relation_behind_the_fetched_one": Twins(
        "OFF102",
        "error",
        """
async def view(request, pk):
    order = await Order.objects.select_related("parent").aget(pk=pk)
    return order.parent.customer.name
""",
        """
async def view(request, pk):
    order = await Order.objects.select_related("parent__customer").aget(pk=pk)
    return order.parent.customer.name
""",
    ),
    "lazy_queryset_of_a_thread": Twins(
        "OFF101",
        "error",
        """
@sync_to_async
def load():
    return Order.objects.filter(paid=True)

async def view(request):
    return [order.pk for order in await load()]
""",
        """
@sync_to_async
def load():
    return Order.objects.filter(paid=True)

async def view(request):
    return [order.pk async for order in await load()]
""",
    ),
    "row_kept_by_a_consumer": Twins(
        "OFF102",
        "warning",
        """
from channels.generic.websocket import AsyncWebsocketConsumer

class Chat(AsyncWebsocketConsumer):
    async def connect(self):
        self.order = await Order.objects.aget(pk=1)

    async def receive(self, text_data):
        await self.send(self.order.customer.name)
""",
        """
from channels.generic.websocket import AsyncWebsocketConsumer

class Chat(AsyncWebsocketConsumer):
    async def connect(self):
        self.order = await Order.objects.select_related("customer").aget(pk=1)

    async def receive(self, text_data):
        await self.send(self.order.customer.name)
""",
    ),
    "rows_of_a_serializer": Twins(
        "OFF102",
        "error",
        SERIALIZERS + "async def view(request):\n"
        "    orders = [order async for order in Order.objects.all()]\n"
        "    return OrderSerializer(orders, many=True).data\n",
        SERIALIZERS + "async def view(request):\n"
        "    query = Order.objects.select_related('customer')\n"
        "    orders = [order async for order in query]\n"
        "    return OrderSerializer(orders, many=True).data\n",
    ),
    "many_rows_that_a_serializer_lists": Twins(
        "OFF102",
        "error",
        SERIALIZERS + "async def view(request, pk):\n    order = await Order.objects.aget(pk=pk)\n"
        "    return TagSerializer(order).data\n",
        SERIALIZERS + "async def view(request, pk):\n"
        "    order = await Order.objects.prefetch_related('tags').aget(pk=pk)\n"
        "    return TagSerializer(order).data\n",
    ),
    "row_that_a_class_method_reads": Twins(
        "OFF102",
        "warning",
        """
class Shown:
    @classmethod
    def of(cls, order):
        return cls(order.customer.name)

async def view(request):
    return [Shown.of(order) async for order in Order.objects.all()]
""",
        """
class Shown:
    @classmethod
    def of(cls, order):
        return cls(order.customer.name)

async def view(request):
    return [Shown.of(order) async for order in Order.objects.select_related("customer")]
""",
    ),
    "row_of_a_view": Twins(
        "OFF102",
        "error",
        """
from adrf.generics import GenericAPIView

class Page(GenericAPIView):
    queryset = Order.objects.all()

    async def get(self, request, pk):
        order = await self.aget_object()
        return order.customer.name
""",
        """
from adrf.generics import GenericAPIView

class Page(GenericAPIView):
    queryset = Order.objects.select_related("customer")

    async def get(self, request, pk):
        order = await self.aget_object()
        return order.customer.name
""",
    ),
    "relation_of_a_plain_schema": Twins(
        "OFF102",
        "error",
        SCHEMAS + "@router.get('/', response={200: OrderOut, 404: CustomerOut})\n"
        "async def one(request, pk):\n    order = await Order.objects.aget(pk=pk)\n"
        "    return 200, order\n",
        SCHEMAS + "@router.get('/', response={200: OrderOut, 404: CustomerOut})\n"
        "async def one(request, pk):\n"
        "    order = await Order.objects.select_related('customer').aget(pk=pk)\n"
        "    return 200, order\n",
    ),
    "relation_by_an_alias": Twins(
        "OFF102",
        "error",
        SCHEMAS + "@router.get('/', response=list[OrderFlat])\nasync def orders(request):\n"
        "    return [order async for order in Order.objects.all()]\n",
        SCHEMAS + "@router.get('/', response=list[OrderFlat])\nasync def orders(request):\n"
        "    return [order async for order in Order.objects.select_related('customer')]\n",
    ),
    "manager_that_fetches_relations": Twins(
        "OFF102",
        "error",
        """
async def view(request, pk):
    order = await Order.objects.aget(pk=pk)
    return order.customer.name
""",
        """
from django.db import models

class WithProduct(models.Manager):
    def get_queryset(self):
        return super().get_queryset().select_related("owner")

class Item(models.Model):
    owner = models.ForeignKey(Customer, models.CASCADE)
    objects = WithProduct()

async def view(request, pk):
    item = await Item.objects.aget(pk=pk)
    return item.owner.name
""",
    ),
    "row_that_knows_its_owner": Twins(
        "OFF102",
        "error",
        """
async def view(request, pk):
    customer = await Customer.objects.aget(pk=pk)
    async for order in customer.orders.all():
        print(order.parent.pk)
""",
        """
async def view(request, pk):
    customer = await Customer.objects.aget(pk=pk)
    async for order in customer.orders.all():
        print(order.customer.name)
""",
    ),
    "rows_whose_relations_are_fetched_later": Twins(
        "OFF102",
        "error",
        """
async def view(request):
    orders = [order async for order in Order.objects.all()]
    return [order.customer.name for order in orders]
""",
        """
from django.db.models import aprefetch_related_objects

async def view(request):
    orders = [order async for order in Order.objects.all()]
    await aprefetch_related_objects(orders, "customer")
    return [order.customer.name for order in orders]
""",
    ),
}


@pytest.mark.parametrize("name", KINDS)
def test_rows_are_followed_with_their_relations(tmp_path: Path, name: str) -> None:
    check(KINDS[name], tmp_path)


def test_what_prefetch_related_brought_is_free_and_the_rest_is_not(tmp_path: Path) -> None:
    code = (
        "async def view(request, pk):\n"
        "    order = await Order.objects.prefetch_related('tags').aget(pk=pk)\n"
        "    return list(order.READ.all())\n"
    )
    assert "OFF101" not in {
        rule for rule, _ in numbers(tmp_path / "a", code.replace("READ", "tags"))
    }
    assert ("OFF101", "error") in numbers(tmp_path / "b", code.replace("READ", "line_set"))

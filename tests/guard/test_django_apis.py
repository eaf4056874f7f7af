"""What parts of Django, and of apps for it, do on the event loop."""

from pathlib import Path

import pytest
from example_shop import findings
from twins import Twins, check, numbers

FORMS = """
from django import forms

class OrderForm(forms.Form):
    customer = forms.ModelChoiceField(queryset=Customer.objects.all())

class NameForm(forms.Form):
    name = forms.CharField()

"""
SOCKET = "from channels.generic.websocket import WebsocketConsumer\n\n"
# By name: the rule, its severity on the wrong code, the wrong code, the right code.
KINDS = {
    "membership_in_the_cache": Twins(
        "OFF103",
        "error",
        "from django.core.cache import cache\n\nasync def view(request):\n"
        "    return 'x' in cache\n",
        "from django.core.cache import cache\n\nasync def view(request):\n"
        "    return await cache.ahas_key('x')\n",
    ),
    "lock_in_a_block": Twins(
        "OFF103",
        "error",
        "from django.core.cache import cache\n\nasync def view(request):\n"
        "    with cache.lock('x', timeout=5):\n        return 1\n",
        "from django.core.cache import cache\n\ndef work():\n"
        "    with cache.lock('x', timeout=5):\n        return 1\n\n"
        "async def view(request):\n    return await sync_to_async(work)()\n",
    ),
    "setting_of_constance": Twins(
        "OFF103",
        "warning",
        "from constance import config\n\nasync def view(request):\n    return config.TITLE\n",
        "from constance import config\n\ndef title():\n    return config.TITLE\n\n"
        "async def view(request):\n    return await sync_to_async(title)()\n",
    ),
    "method_that_a_class_has_of_a_library": Twins(
        "OFF103",
        "error",
        "from django.core.files.storage import FileSystemStorage\n\n"
        "class Media(FileSystemStorage):\n    pass\n\nasync def view(request, file):\n"
        "    return Media().save('x', file)\n",
        "from django.core.files.storage import FileSystemStorage\n\n"
        "class Media(FileSystemStorage):\n    pass\n\nasync def view(request, file):\n"
        "    return await asyncio.to_thread(Media().save, 'x', file)\n",
    ),
    "expiry_of_the_session": Twins(
        "OFF103",
        "error",
        "async def view(request):\n    request.session.set_expiry(60)\n",
        "async def view(request):\n    await request.session.aset_expiry(60)\n",
    ),
    "neighbour_of_a_row": Twins(
        "OFF101",
        "error",
        "async def view(request, pk):\n    order = await Order.objects.aget(pk=pk)\n"
        "    return order.get_next_by_created()\n",
        "async def view(request, pk):\n    order = await Order.objects.aget(pk=pk)\n"
        "    return await sync_to_async(order.get_next_by_created)()\n",
    ),
    "choice_of_a_form": Twins(
        "OFF101",
        "warning",
        FORMS + "async def view(request):\n    form = OrderForm(request.POST)\n"
        "    return form.is_valid()\n",
        FORMS + "async def view(request):\n    form = NameForm(request.POST)\n"
        "    return form.is_valid()\n",
    ),
    "errors_of_a_form": Twins(
        "OFF101",
        "warning",
        FORMS + "async def view(request):\n    form = OrderForm(request.POST)\n"
        "    return form.errors\n",
        FORMS + "async def view(request):\n    form = OrderForm(request.POST)\n"
        "    if not await sync_to_async(form.is_valid)():\n        return form.errors\n",
    ),
    "form_set_of_rows": Twins(
        "OFF101",
        "warning",
        "from django.forms import modelformset_factory\n\n"
        "Orders = modelformset_factory(Order, fields=['paid'])\n\nasync def view(request):\n"
        "    orders = Orders(request.POST)\n    return orders.save()\n",
        "from django.forms import modelformset_factory\n\n"
        "Orders = modelformset_factory(Order, fields=['paid'])\n\nasync def view(request):\n"
        "    orders = Orders(request.POST)\n    return await sync_to_async(orders.save)()\n",
    ),
    "count_of_a_paginator": Twins(
        "OFF101",
        "error",
        "from django.core.paginator import Paginator\n\nasync def view(request):\n"
        "    return Paginator(Order.objects.all(), 20).num_pages\n",
        "from django.core.paginator import Paginator\n\nasync def view(request):\n"
        "    orders = [order async for order in Order.objects.all()]\n"
        "    return Paginator(orders, 20).num_pages\n",
    ),
    "rows_of_a_page": Twins(
        "OFF101",
        "error",
        """
from django.core.paginator import Paginator

async def view(request):
    pages = Paginator(Order.objects.all(), 20)
    page = await sync_to_async(pages.get_page)(1)
    return [order.pk for order in page.object_list]
""",
        """
from django.core.paginator import Paginator

async def view(request):
    pages = Paginator(Order.objects.all(), 20)
    page = await sync_to_async(pages.get_page)(1)
    return [order.pk async for order in page.object_list]
""",
    ),
    "rows_of_a_serialized_text": Twins(
        "OFF101",
        "error",
        "from django.core import serializers as texts\n\nasync def view(request):\n"
        "    return texts.serialize('json', Order.objects.all())\n",
        "from django.core import serializers as texts\n\nasync def view(request):\n"
        "    orders = [order async for order in Order.objects.all()]\n"
        "    return texts.serialize('json', orders)\n",
    ),
    "dictionary_of_a_row": Twins(
        "OFF102",
        "error",
        "from django.forms.models import model_to_dict\n\nasync def view(request, pk):\n"
        "    order = await Order.objects.aget(pk=pk)\n    return model_to_dict(order)\n",
        "from django.forms.models import model_to_dict\n\nasync def view(request, pk):\n"
        "    order = await Order.objects.aget(pk=pk)\n"
        "    return model_to_dict(order, fields=['id'])\n",
    ),
    "condition_of_a_view": Twins(
        "OFF101",
        "error",
        "from django.views.decorators.http import last_modified\n\ndef newest(request):\n"
        "    return Order.objects.latest('pk').created\n\n@last_modified(newest)\n"
        "async def view(request):\n    return 1\n",
        "from django.views.decorators.http import last_modified\n\ndef newest(request):\n"
        "    return Order.objects.latest('pk').created\n\n@last_modified(newest)\n"
        "def view(request):\n    return 1\n",
    ),
    "plain_call_of_an_application": Twins(
        "OFF101",
        "error",
        "class ByName:\n    def __call__(self, scope, receive, send):\n"
        "        scope['user'] = Customer.objects.get(pk=1)\n"
        "        return self.inner(scope, receive, send)\n",
        "class ByName:\n    async def __call__(self, scope, receive, send):\n"
        "        scope['user'] = await Customer.objects.aget(pk=1)\n"
        "        return await self.inner(scope, receive, send)\n",
    ),
    "rows_of_a_view": Twins(
        "OFF101",
        "error",
        "from django.views.generic.list import MultipleObjectMixin\n\n"
        "class Orders(MultipleObjectMixin, View):\n    model = Order\n\n"
        "    async def get(self, request):\n"
        "        return [order.pk for order in self.get_queryset()]\n",
        "from django.views.generic.list import MultipleObjectMixin\n\n"
        "class Orders(MultipleObjectMixin, View):\n    model = Order\n\n"
        "    async def get(self, request):\n"
        "        return [order.pk async for order in self.get_queryset()]\n",
    ),
    "rows_of_a_filter": Twins(
        "OFF101",
        "error",
        "from django_filters import FilterSet\n\nclass Filter(FilterSet):\n    class Meta:\n"
        "        model = Order\n\nasync def view(request):\n"
        "    return list(Filter(request.GET, queryset=Order.objects.all()).qs)\n",
        "from django_filters import FilterSet\n\nclass Filter(FilterSet):\n    class Meta:\n"
        "        model = Order\n\nasync def view(request):\n"
        "    found = Filter(request.GET, queryset=Order.objects.all())\n"
        "    return [order.pk async for order in found.qs]\n",
    ),
    "endpoint_of_a_controller": Twins(
        "OFF101",
        "error",
        "from ninja_extra import ControllerBase, http_get\n\nclass Orders(ControllerBase):\n"
        "    @http_get('/', response=list[int])\n    async def all(self):\n"
        "        return Order.objects.all()\n",
        "from ninja_extra import ControllerBase, http_get\n\nclass Orders(ControllerBase):\n"
        "    @http_get('/', response=list[int])\n    async def all(self):\n"
        "        return [order async for order in Order.objects.all()]\n",
    ),
    "stream_of_a_map": Twins(
        "OFF108",
        "error",
        "from django.http import StreamingHttpResponse\n\nclass Lines(StreamingHttpResponse):\n"
        "    pass\n\nasync def view(request):\n    return Lines(map(str, range(9)))\n",
        "from django.http import StreamingHttpResponse\n\nclass Lines(StreamingHttpResponse):\n"
        "    pass\n\nasync def lines():\n    yield '1'\n\nasync def view(request):\n"
        "    return Lines(lines())\n",
    ),
    "task_of_django": Twins(
        "OFF301",
        "error",
        "from django.tasks import task\n\n@task\ndef send(pk):\n    return pk\n\n"
        "async def view(request, pk):\n    send.enqueue(pk)\n",
        "from django.tasks import task\n\n@task\ndef send(pk):\n    return pk\n\n"
        "async def view(request, pk):\n    await send.aenqueue(pk)\n",
    ),
    "resolver_of_a_field": Twins(
        "OFF101",
        "warning",
        "import strawberry\n\ndef count():\n    return Order.objects.count()\n\n@strawberry.type\n"
        "class Query:\n    total: int = strawberry.field(resolver=count)\n",
        "import strawberry\n\nasync def count():\n    return await Order.objects.acount()\n\n"
        "@strawberry.type\nclass Query:\n    total: int = strawberry.field(resolver=count)\n",
    ),
    "handler_of_errors": Twins(
        "OFF101",
        "warning",
        "from ninja import NinjaAPI\n\napi = NinjaAPI()\n\n@api.exception_handler(ValueError)\n"
        "def failed(request, error):\n    return Order.objects.count()\n\n"
        "@api.get('/')\nasync def view(request):\n    return 1\n",
        "from ninja import NinjaAPI\n\napi = NinjaAPI()\n\n@api.exception_handler(ValueError)\n"
        "def failed(request, error):\n    return Order.objects.count()\n\n"
        "@api.get('/')\ndef view(request):\n    return 1\n",
    ),
    "decorator_of_a_library": Twins(
        "OFF107",
        "error",
        "from django_ratelimit.decorators import ratelimit\n\n@ratelimit(key='ip', rate='1/m')\n"
        "async def view(request):\n    return 1\n",
        "from django_ratelimit.decorators import ratelimit\n\n@ratelimit(key='ip', rate='1/m')\n"
        "def view(request):\n    return 1\n",
    ),
    "cached_property": Twins(
        "OFF107",
        "warning",
        "from django.utils.functional import cached_property\n\nclass Page:\n"
        "    @cached_property\n    async def total(self):\n"
        "        return await Order.objects.acount()\n",
        "class Page:\n    @property\n    async def total(self):\n"
        "        return await Order.objects.acount()\n",
    ),
    "plain_consumer": Twins(
        "OFF504",
        "error",
        SOCKET + "class Chat(WebsocketConsumer):\n    async def receive(self, text_data):\n"
        "        await Order.objects.acreate()\n",
        SOCKET + "class Chat(WebsocketConsumer):\n    def receive(self, text_data):\n"
        "        Order.objects.create()\n",
    ),
    "template_tag": Twins(
        "OFF504",
        "error",
        "from django import template\n\nregister = template.Library()\n\n@register.simple_tag\n"
        "async def total():\n    return await Order.objects.acount()\n",
        "from django import template\n\nregister = template.Library()\n\n@register.simple_tag\n"
        "def total():\n    return Order.objects.count()\n",
    ),
}


@pytest.mark.parametrize("name", KINDS)
def test_the_mistake_is_found_and_its_twin_is_not(tmp_path: Path, name: str) -> None:
    check(KINDS[name], tmp_path)


def test_advice_names_no_async_method_that_django_has_not(tmp_path: Path) -> None:
    code = "async def view(request):\n    order = Order(pk=1)\n    order.full_clean()\n"
    found = [each.instead for each in findings(tmp_path, code) if each.rule == "OFF101"]
    assert found == ["`await sync_to_async(order.full_clean)(…)`"]


def test_a_view_whose_decorator_is_called_is_read(tmp_path: Path) -> None:
    code = (
        "from django.views.decorators.http import require_http_methods\n\n"
        "@require_http_methods(list('G'))\nasync def view(request):\n"
        "    return str(request.user)\n"
    )
    assert ("OFF102", "error") in numbers(tmp_path, code)


@pytest.mark.parametrize(
    ("required", "is_said"), [("Django==3.2.12\n", False), ("django>=5,<6\n", True), ("\n", True)]
)
def test_older_versions_of_django_send_each_part_of_a_sync_stream(
    tmp_path: Path, required: str, is_said: bool
) -> None:
    (tmp_path / "requirements.txt").write_text(required)
    found = numbers(tmp_path, KINDS["stream_of_a_map"].wrong)
    assert (("OFF108", "error") in found) is is_said

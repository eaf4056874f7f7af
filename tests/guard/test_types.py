"""The linter follows what objects are: through attributes, annotations, models and frameworks.

Each case is a module that breaks one rule in a place where no line names what it calls.
"""

from pathlib import Path

import pytest

from offload_dev.lint.findings import Finding
from offload_dev.lint.grade import grade
from offload_dev.lint.source import Project

MODELS = """
from django.db import models

class OrderQuerySet(models.QuerySet):
    def paid(self):
        return self.filter(paid=True)

    def total(self):
        return sum(order.price for order in self)

class Customer(models.Model):
    name = models.CharField(max_length=9)

class Order(models.Model):
    customer = models.ForeignKey(Customer, models.CASCADE, related_name="orders")
    parent = models.ForeignKey("self", models.CASCADE, null=True)
    tags = models.ManyToManyField("Tag")
    objects = OrderQuerySet.as_manager()

    @property
    def lines_count(self):
        return self.line_set.filter(hidden=False).count()

    @property
    def owner(self):
        return self.customer.name

    def __str__(self):
        return f"{self.customer.name} {self.pk}"

    def get_absolute_url(self):
        return f"/{self.customer.name}/{self.pk}"

class Line(models.Model):
    order = models.ForeignKey(Order, models.CASCADE)
    product = models.ForeignKey("Product", models.CASCADE)

class Product(models.Model):
    name = models.CharField(max_length=9)

class Tag(models.Model):
    pass
"""
HEAD = """
import asyncio
import contextlib
import functools
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Optional

import requests
from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.dispatch import Signal, receiver
from django.http import HttpRequest
from django.contrib.auth.mixins import LoginRequiredMixin
from django.shortcuts import get_object_or_404, redirect, render
from django.views import View
from ninja import Router
from rest_framework import serializers

from .models import Customer, Line, Order

router = Router()
"""


def findings(tmp_path: Path, code: str) -> list[Finding]:
    package = tmp_path / "shop"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "models.py").write_text(MODELS)
    (package / "views.py").write_text(HEAD + code)
    return grade(Project(tmp_path))


FOLLOWED = {
    "attribute_of_self": (
        "OFF103",
        """
class Client:
    def __init__(self):
        self.session = requests.Session()

    async def load(self):
        return self.session.get("https://x.test", timeout=1)
""",
    ),
    "parameter_kept_on_self": (
        "OFF103",
        """
class Client:
    def __init__(self, session: requests.Session):
        self.session = session

class Service(Client):
    async def load(self):
        return self.session.get("https://x.test", timeout=1)
""",
    ),
    "optional_string_annotation": (
        "OFF103",
        """
async def view(request, session: "Optional[requests.Session]" = None):
    return session.get("https://x.test", timeout=1)
""",
    ),
    "annotated_parameter": (
        "OFF103",
        """
async def view(request, session: Annotated[requests.Session, 1]):
    return session.get("https://x.test", timeout=1)
""",
    ),
    "attribute_of_a_dataclass": (
        "OFF103",
        """
@dataclass
class Tools:
    session: requests.Session

async def view(request, tools: Tools):
    return tools.session.get("https://x.test", timeout=1)
""",
    ),
    "singleton_of_a_module": (
        "OFF103",
        """
class Client:
    def load(self):
        return time.sleep(1)

client = Client()

async def view(request):
    return client.load()
""",
    ),
    "factory_without_annotation": (
        "OFF103",
        """
def make():
    session = requests.Session()
    return session

async def view(request):
    return make().get("https://x.test", timeout=1)
""",
    ),
    "with_as": (
        "OFF103",
        """
@contextlib.contextmanager
def opened() -> Iterator[requests.Session]:
    yield connect()

async def view(request):
    with opened() as session:
        return session.get("https://x.test", timeout=1)
""",
    ),
    "four_calls_deep": (
        "OFF103",
        """
class Transport:
    def __init__(self):
        self.session = requests.Session()

    def send(self):
        return self.session.get("https://x.test", timeout=1)

class Gateway:
    def __init__(self):
        self.transport = Transport()

    def pay(self):
        return self.transport.send()

class Service:
    gateway = Gateway()

    def checkout(self):
        return self.gateway.pay()

async def view(request):
    service = Service()
    return service.checkout()
""",
    ),
    "method_of_a_mixin": (
        "OFF103",
        """
class Mixin:
    def load(self):
        time.sleep(1)

class Page(Mixin, View):
    async def get(self, request):
        return self.load()
""",
    ),
    "method_of_an_heir": (
        "OFF103",
        """
class Base(View):
    async def get(self, request):
        return self.load()

class Page(Base):
    def load(self):
        time.sleep(1)
""",
    ),
    "dispatch_of_an_async_view": (
        "OFF103",
        """
class Page(View):
    def dispatch(self, request):
        time.sleep(1)
        return super().dispatch(request)

    async def get(self, request):
        return 1
""",
    ),
    "constructor": (
        "OFF103",
        """
class Slow:
    def __init__(self):
        time.sleep(1)

async def view(request):
    return Slow()
""",
    ),
    "property": (
        "OFF101",
        """
async def view(request):
    order = await Order.objects.aget(pk=1)
    return order.lines_count
""",
    ),
    "property_that_reads_a_relation": (
        "OFF102",
        """
async def view(request):
    order = await Order.objects.aget(pk=1)
    return order.owner
""",
    ),
    "str_in_an_f_string": (
        "OFF102",
        """
async def view(request):
    order = await Order.objects.aget(pk=1)
    return f"{order}"
""",
    ),
    "special_method": (
        "OFF103",
        """
class Lines:
    def __len__(self):
        return time.sleep(1)

async def view(request, lines: Lines):
    return len(lines)
""",
    ),
    "relation_of_a_relation": (
        "OFF102",
        """
async def view(request):
    async for line in Line.objects.all():
        line.order_id
        line.product.name
""",
    ),
    "related_name": (
        "OFF101",
        """
async def view(request):
    customer = await Customer.objects.aget(pk=1)
    return [order.pk for order in customer.orders.filter(paid=True)]
""",
    ),
    "many_to_many": (
        "OFF101",
        """
async def view(request):
    order = await Order.objects.aget(pk=1)
    return list(order.tags.all())
""",
    ),
    "lazy_method_of_the_manager": (
        "OFF101",
        """
async def view(request):
    return [order.pk for order in Order.objects.paid()]
""",
    ),
    "method_of_the_manager_that_queries": (
        "OFF101",
        """
async def view(request):
    return Order.objects.paid().total()
""",
    ),
    "user_model": (
        "OFF101",
        """
User = get_user_model()

async def view(request):
    user = await User.objects.aget(pk=1)
    user.save()
""",
    ),
    "row_of_a_thread": (
        "OFF101",
        """
async def view(request):
    order = await sync_to_async(Order.objects.get)(pk=1)
    order.save()
""",
    ),
    "typed_endpoint": (
        "OFF101",
        """
@router.get("/orders", response=list[int])
async def orders(request):
    return Order.objects.filter(paid=True)
""",
    ),
    "serializer": (
        "OFF101",
        """
class OrderSerializer(serializers.ModelSerializer):
    pass

async def view(request):
    serializer = OrderSerializer(Order.objects.all(), many=True)
    return serializer.data
""",
    ),
    "membership": (
        "OFF101",
        """
async def view(request):
    return 1 in Order.objects.values_list("pk", flat=True)
""",
    ),
    "receiver_of_a_signal": (
        "OFF103",
        """
paid = Signal()

@receiver(paid)
def send_mail(sender, **kwargs):
    time.sleep(1)

async def view(request):
    paid.send(None)
""",
    ),
    "redirect": (
        "OFF102",
        """
async def view(request):
    order = await Order.objects.aget(pk=1)
    return redirect(order)
""",
    ),
    "formatted_text": (
        "OFF102",
        """
async def view(request):
    order = await Order.objects.aget(pk=1)
    return "order %s" % order
""",
    ),
    "login_required_mixin": (
        "OFF102",
        """
class Page(LoginRequiredMixin, View):
    async def get(self, request):
        return 1
""",
    ),
    "partial": (
        "OFF103",
        """
async def view(request):
    wait = functools.partial(time.sleep, 1)
    wait()
""",
    ),
}


@pytest.mark.parametrize("name", FOLLOWED)
def test_an_object_is_followed_to_what_it_calls(tmp_path: Path, name: str) -> None:
    rule, code = FOLLOWED[name]
    found = [(each.rule, each.severity) for each in findings(tmp_path, code)]
    assert (rule, "error") in found, found


RIGHT = {
    "two_values": """
class Client:
    def __init__(self, is_async):
        if is_async:
            self.session = make()
        else:
            self.session = requests
        self.session = other()

def other():
    return time

def make():
    return asyncio

async def view(request):
    await Client(True).session.sleep(1)
""",
    "dict_named_objects": """
class Registry:
    objects = {}

async def view(request, registry: Registry):
    return registry.objects.get("name")
""",
    "created_row": """
async def view(request, customer: Customer):
    order = await Order.objects.acreate(customer=customer)
    return order.customer.name
""",
    "assigned_relation": """
async def view(request, customer: Customer):
    order = await Order.objects.aget(pk=1)
    order.customer = customer
    return order.customer.name
""",
    "generator_that_nobody_reads": """
def chunks():
    time.sleep(1)
    yield 1

async def view(request):
    chunk = chunks()
    return await asyncio.to_thread(next, chunk)
""",
    "lazy_in_async_for": """
async def view(request):
    return [order.pk async for order in Order.objects.paid()]
""",
    "endpoint_that_reads_rows": """
@router.get("/orders", response=list[int])
async def orders(request):
    return [order.pk async for order in Order.objects.filter(paid=True)]
""",
    "heir_with_its_own_handler": """
class Base(View):
    async def get(self, request):
        return self.load()

    def load(self):
        return 1

class Page(Base):
    async def get(self, request):
        return 1

    def load(self):
        time.sleep(1)
""",
    "branch_without_a_loop": """
def load():
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return time.sleep(1)
    return None

async def view(request):
    return load()
""",
    "decorator_that_hands_on": """
def named(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        kwargs["name"] = 1
        return function(*args, **kwargs)
    return wrapper

@named
async def load(name):
    return 1
""",
    "thread_for_a_method": """
class Client:
    def load(self):
        time.sleep(1)

async def view(request):
    return await asyncio.to_thread(Client().load)
""",
}


@pytest.mark.parametrize("name", RIGHT)
def test_what_is_right_is_not_accused(tmp_path: Path, name: str) -> None:
    assert findings(tmp_path, RIGHT[name]) == []


LIKELY = {
    "prefetched": (
        "queries unless `prefetch_related` has fetched `orders`",
        """
async def view(request, customer: Customer):
    return [order.pk for order in customer.orders.all()]
""",
    ),
    "branch": (
        "right if this branch runs without an event loop",
        """
async def view(request, is_async):
    if is_async:
        time.sleep(1)
""",
    ),
    "template": (
        "evaluates if the template reads `orders`",
        """
async def view(request):
    orders = Order.objects.all()
    page = functools.partial(render)
    return await sync_to_async(page)(request, "x.html", {"orders": 1})

async def other(request):
    return render(request, "x.html", {"orders": Order.objects.all()})
""",
    ),
}


@pytest.mark.parametrize("name", LIKELY)
def test_what_is_not_certain_is_a_warning_with_the_reason(tmp_path: Path, name: str) -> None:
    reason, code = LIKELY[name]
    found = findings(tmp_path, code)
    assert {each.severity for each in found} == {"warning"}
    assert reason in {each.likely for each in found}

"""Rows stay rows in lists and dictionaries, in threads, and in the functions that get them."""

from pathlib import Path

import pytest
from twins import numbers

WITHOUT, WITH = "Order.objects", 'Order.objects.select_related("customer")'
LISTED = "async def view(request):\n    orders = [order async for order in QUERY.all()]\n"
# By name: what reads the customers of the orders of QUERY.
READS = {
    "with_their_numbers": LISTED
    + "    for number, order in enumerate(orders):\n        print(number, order.customer.name)\n",
    "beside_others": LISTED
    + "    for order, number in zip(orders, range(9)):\n        print(order.customer.name)\n",
    "some_of_them": LISTED
    + "    some = [order for order in orders if order.pk]\n"
    + "    return [order.customer.name for order in some]\n",
    "in_a_dictionary": """
async def view(request):
    found = {order.pk: order async for order in QUERY.all()}
    return [order.customer.name for order in found.values()]
""",
    "in_bulk": """
async def view(request):
    found = await QUERY.ain_bulk([1])
    for key, order in found.items():
        print(key, order.customer.name)
""",
    "appended": """
async def view(request):
    found = []
    async for order in QUERY.all():
        found.append(order)
    return [order.customer.name for order in found]
""",
    "of_an_async_iterator": """
async def view(request):
    async for order in QUERY.all().aiterator():
        print(order.customer.name)
""",
    "of_an_executor": """
async def view(request):
    loop = asyncio.get_running_loop()
    order = await loop.run_in_executor(None, lambda: QUERY.get(pk=1))
    return order.customer.name
""",
    "gathered": """
async def view(request):
    order, customer = await asyncio.gather(QUERY.aget(pk=1), Customer.objects.aget(pk=1))
    return order.customer.name, customer.name
""",
    "without_a_name": """
async def view(request):
    return (await QUERY.aget(pk=1)).customer.name
""",
    "by_getattr": """
async def view(request):
    order = await QUERY.aget(pk=1)
    return getattr(order, "customer", None)
""",
    "of_a_repository": """
class Orders:
    def base(self):
        return QUERY.filter(paid=True)

    async def get(self):
        return await self.base().aget(pk=1)

async def view(request):
    order = await Orders().get()
    return order.customer.name
""",
    "of_a_transaction": """
from django.db import transaction

@sync_to_async
@transaction.atomic
def load():
    order = QUERY.select_for_update().get(pk=1)
    order.save()
    return order

async def view(request):
    order = await load()
    return order.customer.name
""",
    "of_a_pydantic_model": """
from pydantic import BaseModel

class Shown(BaseModel):
    customer: str

async def view(request):
    order = await QUERY.aget(pk=1)
    return Shown.model_validate(order)
""",
}


@pytest.mark.parametrize("name", READS)
def test_a_relation_of_a_row_is_found_wherever_the_row_is(tmp_path: Path, name: str) -> None:
    code = READS[name]
    assert ("OFF102", "error") in numbers(tmp_path / "a", code.replace("QUERY", WITHOUT))
    found = numbers(tmp_path / "b", code.replace("QUERY", WITH))
    assert "OFF102" not in {rule for rule, _ in found}


def test_a_row_is_followed_through_the_functions_that_pass_it_on(tmp_path: Path) -> None:
    code = """
def name(order):
    return order.customer.name

def shown(order):
    return {"name": name(order)}

async def view(request):
    order = await QUERY.aget(pk=1)
    return shown(order)
"""
    assert ("OFF102", "warning") in numbers(tmp_path / "a", code.replace("QUERY", WITHOUT))
    assert not numbers(tmp_path / "b", code.replace("QUERY", WITH))


def test_a_list_that_gets_something_else_is_no_list_of_rows(tmp_path: Path) -> None:
    code = LISTED + "    orders = load()\n    return [order.customer.name for order in orders]\n"
    assert "OFF102" not in {rule for rule, _ in numbers(tmp_path, code.replace("QUERY", WITHOUT))}


def test_a_relation_that_a_function_read_before_it_returned_the_row_is_free(tmp_path: Path) -> None:
    code = """
@sync_to_async
def load():
    order = Order.objects.get(pk=1)
    READ
    return order

async def view(request):
    order = await load()
    return order.customer.name
"""
    assert ("OFF102", "error") in numbers(tmp_path / "a", code.replace("READ", "order.save()"))
    assert not numbers(tmp_path / "b", code.replace("READ", "print(order.customer)"))


def test_the_generator_of_a_class_runs_where_a_loop_goes_through_it(tmp_path: Path) -> None:
    code = """
class Orders:
    def __iter__(self):
        for order in Order.objects.all():
            yield order

async def view(request):
    orders = Orders()
    return LINE
"""
    wrong = code.replace("LINE", "[order.pk for order in orders]")
    assert ("OFF101", "error") in numbers(tmp_path / "a", wrong)
    assert not numbers(tmp_path / "b", code.replace("LINE", "orders"))


# By name: functions whose query may bring relations that no line of the view names.
UNKNOWN = {
    "relations_as_an_argument": """
from django.db.models import QuerySet

ALL = Order.objects.all()

def paid(query: QuerySet[Order]) -> QuerySet[Order]:
    return query.filter(paid=True)

def with_relations(query: QuerySet[Order], names) -> QuerySet[Order]:
    return query.select_related(*names)

@sync_to_async
def load(names):
    query = paid(ALL)
    query = with_relations(query, names)
    return list(query[:9])

async def view(request):
    return [order.customer.name for order in await load(["customer"])]
""",
    "query_as_an_argument": """
from django.db.models import QuerySet

class Orders:
    def __init__(self, query: QuerySet[Order]):
        self.query = query

    async def names(self):
        return [order.customer.name async for order in self.query.all()]

async def view(request):
    return await Orders(Order.objects.select_related("customer")).names()
""",
    "rows_of_two_branches": """
async def view(request, wanted):
    if wanted:
        order = await Order.objects.select_related("customer").aget(pk=1)
    else:
        order = await Order.objects.afirst()
    return order.customer.name
""",
    "row_of_a_branch_that_is_not_known": """
from orders import load

async def view(request, wanted):
    if wanted:
        order = await load(wanted)
    else:
        order = await Order.objects.afirst()
    return order.customer.name
""",
    "one_of_two_queries": """
async def view(request, wanted):
    query = Order.objects.select_related("customer")
    if wanted:
        query = query.filter(paid=True)
    order = await query.afirst()
    return order.customer.name
""",
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_nothing_is_said_of_rows_whose_relations_are_not_known(tmp_path: Path, name: str) -> None:
    assert not numbers(tmp_path, UNKNOWN[name])

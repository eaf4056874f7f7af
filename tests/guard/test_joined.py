"""Values that are one of two queries, and requests of middleware: both stay what they are."""

from pathlib import Path

import pytest
from twins import numbers

from offload_dev.lint.origins.joined import joined

PAGINATOR = """
class Paginator:
    def __init__(self, queryset):
        self.queryset = queryset

    def page(self, first, after=None):
        rows = self.queryset.filter(pk__gt=after) if after else self.queryset
        return list(rows[:first])
"""
QUERIES = {
    "object": """
from .paginator import Paginator

async def view(request):
    return Paginator(Order.objects.all()).page(20)
""",
    "two_callers": """
def listed(rows):
    return [row.pk for row in rows]

async def view(request):
    return listed(Order.objects.filter(pk=1))

async def other(request):
    return listed(Order.objects.order_by("pk"))
""",
    "two_returns": """
def orders(name):
    if name:
        return Order.objects.filter(customer__name=name)
    return Order.objects.all()

async def view(request):
    return list(orders(request.GET["name"]))
""",
    "two_values": """
async def view(request):
    rows = Order.objects.all()
    if request.GET:
        rows = rows.filter(pk=1)
    return len(rows)
""",
}
OTHERS = {
    "two_models": """
def listed(rows):
    return [row.pk for row in rows]

async def view(request):
    return listed([each async for each in Order.objects.all()])

async def other(request):
    return listed([1])
""",
    "a_list_or_a_query": """
def listed(rows):
    return [row.pk for row in rows]

async def view(request):
    return listed([1])

def other(request):
    return listed(Order.objects.order_by("pk"))
""",
    "relations_fetched_in_one": """
def named(rows):
    return [row async for row in rows]

async def view(request):
    rows = Order.objects.select_related("customer") if request.GET else Order.objects.all()
    return [row.customer.name async for row in rows]
""",
}
MIDDLEWARE = {
    "class": """
class Middleware:
    def __init__(self, get_response):
        self.get_response = get_response

    async def __acall__(self, request):
        response = await self.get_response(request)
        print(request.user.pk)
        return response
""",
    "function": """
def middleware(get_response):
    async def inner(request):
        print(request.user.pk)
        return await get_response(request)
    return inner
""",
    "helper": """
def who(user):
    return user.pk

class Middleware:
    def __init__(self, get_response):
        self.get_response = get_response

    async def __acall__(self, request):
        print(who(getattr(request, "user", None)))
        return await self.get_response(request)
""",
}
NO_MIDDLEWARE = {
    "another_class": MIDDLEWARE["class"].replace("get_response", "client"),
    "auser": MIDDLEWARE["class"].replace("request.user.pk", "(await request.auser()).pk"),
    "another_function": MIDDLEWARE["function"].replace("get_response", "send"),
}


@pytest.mark.parametrize("name", QUERIES)
def test_one_of_two_queries_is_a_query(tmp_path: Path, name: str) -> None:
    said = numbers(tmp_path, QUERIES[name], paginator=PAGINATOR)
    assert ("OFF101", "error") in said


@pytest.mark.parametrize("name", OTHERS)
def test_what_may_be_no_query_is_none(tmp_path: Path, name: str) -> None:
    assert {rule for rule, _ in numbers(tmp_path, OTHERS[name])}.isdisjoint({"OFF101", "OFF102"})


@pytest.mark.parametrize(
    ("first", "second", "both"),
    [
        ("a.Order.objects", "a.Order.objects.filter", "a.Order.objects"),
        ("a.Order.objects.all", "a.Order.objects.select_related", "a.Order.objects.select_related"),
        ("a.Order.objects.values", "a.Order.objects", "a.Order.objects.values"),
        ("a.Order.objects.filter", "a.Line.objects.filter", ""),
        ("a.Order.objects.first", "a.Order.objects", ""),
        ("builtins.dict", "builtins.dict.values", ""),
        ("", "a.Order.objects", ""),
    ],
)
def test_queries_of_one_manager_are_joined(first: str, second: str, both: str) -> None:
    assert joined(first, second) == both


@pytest.mark.parametrize("name", MIDDLEWARE)
def test_middleware_gets_requests_whatever_it_imports(tmp_path: Path, name: str) -> None:
    said = numbers(tmp_path, "from . import middleware\n", middleware=MIDDLEWARE[name])
    assert ("OFF102", "error") in said


@pytest.mark.parametrize("name", NO_MIDDLEWARE)
def test_other_classes_get_something_else(tmp_path: Path, name: str) -> None:
    said = numbers(tmp_path, "from . import middleware\n", middleware=NO_MIDDLEWARE[name])
    assert "OFF102" not in {rule for rule, _ in said}

"""Lines that run only if a call leaves an argument out: what the call gives decides."""

from pathlib import Path

import pytest
from example_shop import HEAD
from twins import numbers

# Four ways to query only where the caller has no customer.
WAYS = {
    "if_none": """
def price(amount, customer{default}):
    if customer is None:
        customer = Customer.objects.get(name="default")
    return amount
""",
    "or": """
def price(amount, customer{default}):
    customer = customer or Customer.objects.get(name="default")
    return amount
""",
    "else": """
def price(amount, customer{default}):
    if customer:
        found = customer
    else:
        found = Customer.objects.get(name="default")
    return found
""",
    "early_return": """
def price(amount, customer{default}):
    if customer is not None:
        return amount
    return Customer.objects.get(name="default")
""",
    "choice": """
def price(amount, customer{default}):
    return customer if customer is not None else Customer.objects.get(name="default")
""",
}
LEFT_OUT = """
async def show(request):
    return price(5)
"""
NONE = """
async def show(request):
    return price(5, customer=None)
"""
PASSED_ON = """
def total(amount, customer=None):
    return price(amount, customer)

async def show(request):
    return total(5)
"""
REQUIRED = """
async def show(request, customer: str):
    return price(5, customer)
"""
LITERAL = """
async def show(request):
    return price(5, customer="ann")
"""
LITERAL_PASSED_ON = """
def total(amount, customer=None):
    return price(amount, customer)

async def show(request):
    return total(5, f"customer {request.path}")
"""
CONSTRUCTED = """
class Basket:
    def __init__(self, customer: str):
        self.total = price(0, customer)

async def show(request, customer: str):
    return Basket(customer)
"""
ATTRIBUTE = """
class Basket:
    async def show(self, request):
        return price(0, self.customer)
"""
LOCAL = """
async def show(request):
    name = request.GET.get("name")
    return price(0, name)
"""
WITHOUT_TYPE = """
async def show(request, customer):
    return price(5, customer)
"""
UNPACKED = """
async def show(request, **options):
    return price(5, **options)
"""


def said(folder: Path, way: str, caller: str) -> set[str]:
    code = HEAD + WAYS[way].format(default="=None") + caller
    return {severity for rule, severity in numbers(folder, code) if rule == "OFF101"}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("caller", [LEFT_OUT, NONE, PASSED_ON])
def test_a_call_without_the_argument_runs_the_line(tmp_path: Path, way: str, caller: str) -> None:
    assert said(tmp_path, way, caller) == {"error"}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("caller", [REQUIRED, LITERAL, LITERAL_PASSED_ON, CONSTRUCTED])
def test_a_call_that_gives_the_argument_does_not_run_the_line(
    tmp_path: Path, way: str, caller: str
) -> None:
    assert said(tmp_path, way, caller) == set()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("caller", [ATTRIBUTE, LOCAL, WITHOUT_TYPE, UNPACKED])
def test_a_value_that_may_be_none_is_a_warning(tmp_path: Path, way: str, caller: str) -> None:
    assert said(tmp_path, way, caller) == {"warning"}

"""Objects that the linter must not mistake, and those that it is not certain of."""

from pathlib import Path

import pytest
from example_shop import findings

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

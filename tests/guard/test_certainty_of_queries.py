"""What was accused wrongly in public projects: queries and transactions.

Each kind stands beside the mistake that it resembles. `docs/public.md` says how often the linter
was right on public projects.
"""

from pathlib import Path

import pytest
from example_shop import findings
from twins import Twins, check, numbers

# By name: the rule, its severity on the wrong code, the wrong code, the right code.
KINDS = {
    "variable_of_the_process": Twins(
        "OFF101",
        "error",
        """
default = None

def load():
    global default
    default = Order.objects.first()
    return default

async def view(request):
    return load().pk
""",
        """
default = None

def load():
    global default
    if default is None:
        default = Order.objects.first()
    return default

async def view(request):
    return load().pk
""",
    ),
    "argument_that_is_not_given": Twins(
        "OFF101",
        "error",
        """
def load(pk=None):
    if pk is not None:
        return Order.objects.get(pk=pk)
    return None

async def view(request, pk):
    return load(pk)
""",
        """
def load(pk=None):
    if pk is not None:
        return Order.objects.get(pk=pk)
    return None

async def view(request, pk):
    return load()
""",
    ),
    "argument_that_is_false": Twins(
        "OFF103",
        "error",
        """
def load(name, *, remote=True):
    if remote and name:
        return requests.get(name, timeout=1)
    return name

async def view(request, name):
    return load(name)
""",
        """
def load(name, *, remote=True):
    if remote and name:
        return requests.get(name, timeout=1)
    return name

async def view(request, name):
    return load(name, remote=False)
""",
    ),
    "queryset_fetched_before": Twins(
        "OFF101",
        "error",
        """
async def view(request):
    orders = Order.objects.all()
    return len(orders)
""",
        """
async def view(request):
    orders = Order.objects.all()
    names = [order.pk async for order in orders]
    return len(orders), names
""",
    ),
    "queryset_with_its_relations": Twins(
        "OFF102",
        "error",
        """
async def view(request):
    orders = Order.objects.filter(paid=True)
    order = await orders.afirst()
    return order.customer.name
""",
        """
async def view(request):
    orders = Order.objects.filter(paid=True).select_related("customer")
    order = await orders.afirst()
    return order.customer.name
""",
    ),
    "early_return_of_what_the_process_keeps": Twins(
        "OFF103",
        "error",
        """
known = None

def load():
    if not known:
        print("loads")
    return requests.get("https://x.test", timeout=1)

async def view(request):
    load()
""",
        """
known = None

def load():
    global known
    if known:
        return known
    known = requests.get("https://x.test", timeout=1)
    return known

async def view(request):
    load()
""",
    ),
    "list_instead_of_a_queryset": Twins(
        "OFF101",
        "error",
        """
async def view(request, orders):
    orders = Order.objects.filter(paid=True)
    return len(orders)
""",
        """
async def view(request):
    orders = Order.objects.filter(paid=True)
    try:
        return await orders.acount()
    except AttributeError:
        return len(orders)
""",
    ),
    "transaction_that_only_reads": Twins(
        "OFF306",
        "error",
        """
from celery import shared_task
from django.db import transaction

@shared_task
def send(pk):
    return pk

def view(request, pk):
    with transaction.atomic():
        order = Order.objects.create(pk=pk)
        send.delay(order.pk)
""",
        """
from celery import shared_task
from django.db import transaction

@shared_task
def send(pk):
    return pk

def view(request):
    with transaction.atomic():
        for order in Order.objects.filter(paid=True).select_for_update(skip_locked=True):
            send.delay(order.pk)
""",
    ),
    "page_that_django_renders_in_a_thread": Twins(
        "OFF101",
        "warning",
        """
async def view(request):
    return render(request, "x.html", {"orders": Order.objects.all()})
""",
        """
from django.template.response import TemplateResponse

async def view(request):
    return TemplateResponse(request, "x.html", {"orders": Order.objects.all()})
""",
    ),
    "relation_that_a_thread_has_fetched": Twins(
        "OFF102",
        "error",
        """
def load():
    return Order.objects.filter(pk=1)

async def rows():
    orders = await sync_to_async(load)()
    return await sync_to_async(list)(orders)

async def view(request):
    return [order.customer for order in await rows()]
""",
        """
def load():
    return Order.objects.filter(pk=1).prefetch_related("customer")

async def rows():
    orders = await sync_to_async(load)()
    return await sync_to_async(list)(orders)

async def view(request):
    return [order.customer for order in await rows()]
""",
    ),
    "user_that_ninja_has_read": Twins(
        "OFF102",
        "error",
        """
@router.get("/x")
async def view(request):
    return request.user.pk
""",
        """
from ninja.security import django_auth

@router.get("/x", auth=django_auth)
async def view(request):
    return request.user.pk
""",
    ),
}


@pytest.mark.parametrize("name", KINDS)
def test_the_mistake_is_found_and_what_resembles_it_is_not(tmp_path: Path, name: str) -> None:
    check(KINDS[name], tmp_path)


ROWS = "async def view(request, wanted):\n    orders = Order.objects.all()\n"
# By name: the lines below `ROWS`, and how many of them query.
LOOPS = {
    "twice": ("    for a in orders:\n        pass\n    for b in orders:\n        pass\n", 1),
    "new_rows": (
        "    for a in orders:\n        pass\n    orders = Order.objects.all()\n"
        "    for b in orders:\n        pass\n",
        2,
    ),
    "one_of_two": (
        "    if wanted:\n        for a in orders:\n            pass\n    else:\n"
        "        for b in orders:\n            pass\n",
        2,
    ),
}


@pytest.mark.parametrize("name", LOOPS)
def test_a_queryset_keeps_the_rows_of_its_first_loop(tmp_path: Path, name: str) -> None:
    lines, count = LOOPS[name]
    found = [each.line for each in findings(tmp_path, ROWS + lines) if each.rule == "OFF101"]
    assert len(found) == count


def test_below_a_return_for_a_context_variable_a_query_is_only_likely(tmp_path: Path) -> None:
    code = (
        "from contextvars import ContextVar\n\ncurrent = ContextVar('current')\n\n"
        "def owner():\n    if order := FOUND:\n        return order\n"
        "    return Order.objects.get(pk=1)\n\nasync def view(request):\n    return owner()\n"
    )
    for found, severity in {"current.get()": "warning", "print()": "error"}.items():
        code_of = code.replace("FOUND", found)
        assert ("OFF101", severity) in numbers(tmp_path / severity, code_of)
    tenants = "from contextvars import ContextVar\n\ncurrent = ContextVar('current')\n"
    imported = code.replace("FOUND", "current.get()").partition("def owner")
    code_of = "from shop.tenants import current\n\n" + "".join(imported[1:])
    assert ("OFF101", "warning") in numbers(tmp_path / "imported", code_of, tenants=tenants)


@pytest.mark.parametrize(
    ("before", "count"),
    [
        ("await sync_to_async(lambda: print(order.customer))()", 0),
        ("await asyncio.to_thread(lambda: order.customer.name)", 0),
        ("await sync_to_async(lambda: print(order.seller))()", 1),
        ("show = lambda: print(order.customer)", 1),
    ],
)
def test_what_a_thread_has_read_of_a_row_is_not_queried_again(
    tmp_path: Path, before: str, count: int
) -> None:
    code = (
        "from asgiref.sync import sync_to_async\n\nasync def view(request):\n"
        f"    order = await Order.objects.aget(pk=1)\n    {before}\n    return order.customer\n"
    )
    found = [each.rule for each in findings(tmp_path, code)]
    assert found.count("OFF102") == count


@pytest.mark.parametrize(
    ("above", "count"),
    [
        ("    if not rows:\n        return\n", 1),
        ("    print(len(rows))\n", 1),
        ("    if request:\n        print(len(rows))\n", 2),
        ("    if not rows:\n        rows = Order.objects.filter(pk=2)\n", 2),
    ],
)
def test_rows_that_a_line_above_has_read_are_not_read_again(
    tmp_path: Path, above: str, count: int
) -> None:
    code = (
        "async def view(request):\n    rows = Order.objects.filter(pk=1)\n"
        f"{above}    for row in rows:\n        print(row.pk)\n"
    )
    assert [each.rule for each in findings(tmp_path, code)].count("OFF101") == count


@pytest.mark.parametrize(
    ("above", "count"),
    [
        ("    print(order.customer.name)\n", 1),
        ("    if request:\n        print(order.customer.name)\n", 2),
        ("    print(order.customer.name)\n    order = await Order.objects.aget(pk=2)\n", 2),
    ],
)
def test_a_relation_that_a_line_above_has_read_is_not_read_again(
    tmp_path: Path, above: str, count: int
) -> None:
    code = (
        "async def view(request):\n    order = await Order.objects.aget(pk=1)\n"
        f"{above}    print(order.customer.pk)\n"
    )
    assert [each.rule for each in findings(tmp_path, code)].count("OFF102") == count

"""What was accused with an error in public projects, although source does not tell it for sure."""

from pathlib import Path

import pytest
from example_shop import findings
from twins import Twins, check, numbers

CONNECTOR = """
import asyncio

class Connector:
    async def find(self, query):
        time.sleep(1)

async def ask(query, connectors):
    tasks = [asyncio.ensure_future(each.find(query)) for each in connectors]
    return await asyncio.gather(*tasks)

"""
ROUTE = "urlpatterns = [('search', search)]\n"
SENDS = """
from celery import shared_task
from django.db import transaction

@shared_task(bind=True, time_limit=60)
def send(self, order_id):
    try:
        Order.objects.get(id=order_id)
    except Order.DoesNotExist:
        LINE

def view(request):
    with transaction.atomic():
        order = Order.objects.create()
        send.delay(order.id)
"""
START = "import asyncio\n\nasync def work(queue):\n    LINE\n    queue.clear()\n\n"
STARTED = START + "async def view(request):\n    asyncio.create_task(work(request))\n"
LOOKS_UP = "import socket\n\nasync def view(request, NAME):\n    socket.getaddrinfo(NAME, 80)\n"
MOVES = "import shutil\n\nasync def view(request):\n    shutil.CALL\n"
IN_ONE_CALL = "def search(request):\n    return asyncio.run(ask('x', []))\n\n"
# By name: the code with the mistake, and what is only likely to be one, each with its finding.
UNSURE = {
    "task_that_only_sleeps": (
        STARTED.replace("LINE", "await queue.get()"),
        STARTED.replace("LINE", "await asyncio.sleep(10)"),
        "OFF501",
    ),
    "address": (LOOKS_UP.replace("NAME", "host"), LOOKS_UP.replace("NAME", "dest_ip"), "OFF103"),
    "moved_file": (
        MOVES.replace("CALL", "rmtree('x')"),
        MOVES.replace("CALL", "move('x', 'y')"),
        "OFF103",
    ),
    "task_that_tries_again": (
        SENDS.replace("LINE", "return"),
        SENDS.replace("LINE", "self.retry(countdown=5)"),
        "OFF306",
    ),
}


@pytest.mark.parametrize("name", UNSURE)
def test_what_source_does_not_tell_is_a_warning(tmp_path: Path, name: str) -> None:
    wrong, unsure, rule = UNSURE[name]
    assert (rule, "error") in numbers(tmp_path / "wrong", wrong)
    found = numbers(tmp_path / "unsure", unsure)
    assert (rule, "warning") in found
    assert (rule, "error") not in found


def test_a_loop_that_sync_code_runs_for_one_call_has_no_others_to_stop(tmp_path: Path) -> None:
    in_view = "async def search(request):\n    return await ask('x', [])\n\n"
    check(
        Twins("OFF103", "error", CONNECTOR + in_view + ROUTE, CONNECTOR + IN_ONE_CALL + ROUTE),
        tmp_path,
    )


def test_a_function_that_is_handed_on_may_run_in_any_loop(tmp_path: Path) -> None:
    handed = CONNECTOR + IN_ONE_CALL + ROUTE + "HANDLERS = [Connector().find]\n"
    assert ("OFF103", "error") in numbers(tmp_path, handed)


def test_a_queryset_that_is_awaited_is_not_read(tmp_path: Path) -> None:
    head = """
from django.db.models import QuerySet
from ninja import Router

router = Router()

def orders() -> QuerySet[Order]:
    return Order.objects.filter(id=1)

@router.get("/orders", response=list[int])
async def show(request):
    return """
    check(Twins("OFF101", "error", head + "orders()\n", head + "await orders()\n"), tmp_path)


def test_a_loop_over_plain_values_has_no_rows(tmp_path: Path) -> None:
    code = """
from celery import shared_task

@shared_task(time_limit=60)
def send(order):
    print(order)

def view(request):
    for order in Order.objects.filter(id=1)ROWS:
        send.delay(order)
"""
    plain = code.replace("ROWS", ".values_list('id', flat=True)")
    check(Twins("OFF307", "error", code.replace("ROWS", ""), plain), tmp_path)


def test_the_sentence_about_unsafe_queries_says_what_they_do(tmp_path: Path) -> None:
    code = "import os\n\nos.environ['DJANGO_ALLOW_ASYNC_UNSAFE'] = 'true'\n"
    (found,) = (each for each in findings(tmp_path, code) if each.rule == "OFF701")
    assert "lets queries block the event loop" in found.message


@pytest.mark.parametrize(("name", "severity"), [("tasks", "warning"), ("settings", "error")])
def test_a_file_of_tasks_may_be_imported_by_a_worker_alone(
    tmp_path: Path, name: str, severity: str
) -> None:
    code = "import os\n\nos.environ['DJANGO_ALLOW_ASYNC_UNSAFE'] = 'true'\n"
    assert numbers(tmp_path, "", **{name: code}) == {("OFF701", severity)}


@pytest.mark.parametrize(("name", "is_served"), [("look", False), ("asgi", True)])
def test_a_script_that_sets_django_up_has_no_requests(
    tmp_path: Path, name: str, is_served: bool
) -> None:
    code = (
        "import os\n\nimport django\n\nos.environ['DJANGO_ALLOW_ASYNC_UNSAFE'] = '1'\n"
        "django.setup()\n"
    )
    assert (("OFF701", "error") in numbers(tmp_path, "", **{name: code})) is is_served


@pytest.mark.parametrize(
    ("line", "waits"),
    [
        ("order.options.get('size')", False),
        ("order.options['of'].get('size')", False),
        ("db.query(Order).filter(Order.id == 1).first()", True),
        ("db.get(Order, 1)", True),
    ],
)
def test_a_row_of_sqlalchemy_is_no_query(tmp_path: Path, line: str, waits: bool) -> None:
    code = (
        "from sqlalchemy.orm import Session\n\n"
        "async def view(request, db: Session):\n"
        "    order = db.query(Order).first()  # offload: allow OFF103: the case is below\n"
        f"    return {line}\n"
    )
    assert (("OFF103", "error") in numbers(tmp_path, code)) is waits


def test_a_sync_method_of_an_async_server_has_no_loop_of_its_own(tmp_path: Path) -> None:
    """`async_to_sync` goes back to the loop that serves the request."""
    code = """
import asyncio

from asgiref.sync import async_to_sync

# `search` calls `find`.
async def find(query):
    time.sleep(1)

async def search(query):
    await find(query)

class Searches:
    @async_to_sync
    async def perform(self, query):
        await search(query)

"""
    assert ("OFF103", "error") in numbers(tmp_path, code)


def test_the_loop_itself_keeps_a_task_that_never_waits(tmp_path: Path) -> None:
    found = numbers(tmp_path, STARTED.replace("LINE", "queue.append(1)"))
    assert "OFF501" not in {rule for rule, _ in found}


def test_code_around_a_browser_may_query_on_its_loop(tmp_path: Path) -> None:
    code = "import os\n\nos.environ['DJANGO_ALLOW_ASYNC_UNSAFE'] = 'true'\n"
    browser = "from playwright.sync_api import sync_playwright\n" + code
    assert numbers(tmp_path / "plain", "", shots=code) == {("OFF701", "error")}
    assert numbers(tmp_path / "browser", "", shots=browser) == {("OFF701", "warning")}


def test_a_function_may_permit_queries_for_the_code_around_it(tmp_path: Path) -> None:
    line = "os.environ['DJANGO_ALLOW_ASYNC_UNSAFE'] = 'true'\n"
    inside = f"import os\n\n\ndef log_out():\n    {line}"
    assert numbers(tmp_path / "top", "", start=f"import os\n\n{line}") == {("OFF701", "error")}
    assert numbers(tmp_path / "inside", "", start=inside) == {("OFF701", "warning")}

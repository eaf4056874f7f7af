"""What was accused wrongly in public projects: tasks, gathers and cancellations.

Each kind stands beside the mistake that it resembles. `docs/public.md` says how often the linter
was right on public projects.
"""

from pathlib import Path

import pytest
from example_shop import findings
from twins import Twins, check, numbers

# By name: the rule, its severity on the wrong code, the wrong code, the right code.
KINDS = {
    "async_task_of_another_library": Twins(
        "OFF304",
        "error",
        """
from celery import shared_task

@shared_task
async def send(pk):
    return pk
""",
        """
from django.tasks import task

@task()
async def send(pk):
    return pk
""",
    ),
    "branch_without_a_loop": Twins(
        "OFF103",
        "warning",
        """
async def view(request, is_async):
    if is_async:
        time.sleep(1)
""",
        """
async def view(request, is_async):
    if is_async:
        await asyncio.sleep(1)
    else:
        time.sleep(1)
""",
    ),
    "cancellation_that_ends_the_task": Twins(
        "OFF503",
        "error",
        """
async def wait():
    try:
        await asyncio.sleep(9)
    except asyncio.CancelledError:
        pass
    await asyncio.sleep(9)
""",
        """
async def wait():
    try:
        await asyncio.sleep(9)
    except asyncio.CancelledError:
        print("stopped")
""",
    ),
    "loop_that_returns_after_any_error": Twins(
        "OFF503",
        "error",
        """
async def consume():
    while True:
        try:
            await asyncio.sleep(9)
        except:
            print("failed")
""",
        """
async def consume():
    while True:
        try:
            await asyncio.sleep(9)
        except asyncio.CancelledError:
            return
        except Exception:
            print("failed")
""",
    ),
    "consumer_that_stops_after_the_cancellation": Twins(
        "OFF503",
        "error",
        """
async def consume(message):
    try:
        await asyncio.sleep(9)
    except:
        print("stopped")
    await asyncio.sleep(9)
""",
        """
async def consume(message):
    try:
        await asyncio.sleep(9)
    except asyncio.CancelledError:
        print("stopped")
    raise StopAsyncIteration
""",
    ),
    "gather_of_limited_calls": Twins(
        "OFF401",
        "warning",
        """
async def view(request, names):
    async def load(name):
        await asyncio.sleep(1)

    return await asyncio.gather(*[load(name) for name in names])
""",
        """
async def view(request, names):
    limit = asyncio.Semaphore(5)

    async def load(name):
        async with limit:
            await asyncio.sleep(1)

    return await asyncio.gather(*[load(name) for name in names])
""",
    ),
    "gather_of_tasks_that_run": Twins(
        "OFF401",
        "warning",
        """
async def view(request, names):
    calls = []
    for name in names:
        calls.append(asyncio.sleep(1, name))
    return await asyncio.gather(*calls)
""",
        """
class Worker:
    def __init__(self):
        self.tasks = []

    async def stop(self):
        pending = [task for task in self.tasks if not task.done()]
        await asyncio.gather(*pending, return_exceptions=True)
""",
    ),
    "gather_of_a_few_calls": Twins(
        "OFF401",
        "warning",
        """
async def view(request):
    try:
        await asyncio.gather(asyncio.sleep(1), asyncio.sleep(2))
    except ValueError:
        pass
""",
        """
async def view(request):
    try:
        await asyncio.gather(asyncio.sleep(1), asyncio.sleep(2))
    except ValueError:
        return None
""",
    ),
    "gather_that_waits_for_all": Twins(
        "OFF401",
        "warning",
        """
async def view(request, names):
    return await asyncio.gather(*[asyncio.sleep(1, name) for name in names])
""",
        """
async def view(request, names):
    calls = [asyncio.sleep(1, name) for name in names]
    return await asyncio.gather(*calls, return_exceptions=True)
""",
    ),
    "gather_of_what_the_source_bounds": Twins(
        "OFF401",
        "warning",
        """
async def load(customer):
    orders = Order.objects.filter(customer=customer)
    return await asyncio.gather(*[asyncio.sleep(1, order) async for order in orders])
""",
        """
SOURCES = ("a", "b")

async def load(customer, given):
    orders = Order.objects.filter(customer=customer)[:3]
    await asyncio.gather(*[asyncio.sleep(1, order) async for order in orders])
    await asyncio.gather(*[asyncio.sleep(1, source) for source in SOURCES])
    await asyncio.gather(*[asyncio.sleep(1, each) for each in given])
""",
    ),
    "gather_of_calls_that_are_limited_below": Twins(
        "OFF401",
        "warning",
        """
async def send(name):
    await asyncio.sleep(1, name)

async def view(request):
    names = request.GET["names"].split(",")
    await asyncio.gather(*[send(name) for name in names])
""",
        """
slots = asyncio.Semaphore(5)

async def wait(name):
    async with slots:
        await asyncio.sleep(1, name)

async def send(name):
    await wait(name)

async def view(request):
    names = request.GET["names"].split(",")
    await asyncio.gather(*[send(name) for name in names])
    await asyncio.gather(*[asyncio.to_thread(print, name) for name in names])
""",
    ),
    "gather_whose_handler_cancels": Twins(
        "OFF401",
        "warning",
        """
async def view(request, names):
    tasks = [asyncio.ensure_future(asyncio.sleep(1, name)) for name in names]
    try:
        await asyncio.gather(*tasks)
    except Exception:
        print("lost")
""",
        """
async def view(request, names):
    tasks = [asyncio.ensure_future(asyncio.sleep(1, name)) for name in names]
    try:
        await asyncio.gather(*tasks)
    except Exception:
        for task in tasks:
            task.cancel()
""",
    ),
    "decorator_that_runs_the_coroutine": Twins(
        "OFF107",
        "warning",
        """
def logged(function):
    @functools.wraps(function)
    def wrapper(*args):
        result = function(*args)
        print(result)
        return result
    return wrapper

@logged
async def load():
    return 1
""",
        """
def plain(function):
    @functools.wraps(function)
    def wrapper(*args):
        with Loop() as loop:
            return loop.run(function(*args))
    return wrapper

def logged(function):
    @functools.wraps(function)
    def wrapper(*args):
        result = function(*args)
        print(result)
        return result
    return wrapper

@logged
@plain
async def load():
    return 1
""",
    ),
    "task_of_a_loop_of_its_own": Twins(
        "OFF103",
        "error",
        """
from procrastinate.contrib.django import app

@app.task
async def send(pk):
    await load(pk)

async def load(pk):
    time.sleep(1)
""",
        """
from django.tasks import task

@task()
async def send(pk):
    # load finds it
    await load(pk)

async def load(pk):
    time.sleep(1)
""",
    ),
    "task_of_a_receiver": Twins(
        "OFF501",
        "error",
        """
def save(row, **options):
    asyncio.get_running_loop().create_task(asyncio.sleep(1))
""",
        """
def saved(sender, instance, **options):
    try:
        asyncio.get_running_loop().create_task(asyncio.sleep(1))
    except RuntimeError:
        print("no loop")
""",
    ),
}


@pytest.mark.parametrize("name", KINDS)
def test_the_mistake_is_found_and_what_resembles_it_is_not(tmp_path: Path, name: str) -> None:
    check(KINDS[name], tmp_path)


@pytest.mark.parametrize(
    "condition",
    ["result.ready()", 'result.status == "SUCCESS"', 'pk and result.state == "FAILURE"'],
)
def test_a_result_is_read_once_when_its_task_has_ended(tmp_path: Path, condition: str) -> None:
    code = (
        "from celery.result import AsyncResult\n\nasync def view(request, pk):\n"
        f"    result = AsyncResult(pk)\n    if {condition}:\n        return result.result\n"
    )
    for name, text, lines in (
        ("ended", code, [1]),
        ("may_run", code.replace(condition, f"not ({condition})"), [1, 2]),
    ):
        found = findings(tmp_path / name, text)
        first = min(each.line for each in found)
        assert [each.line - first + 1 for each in found if each.rule == "OFF302"] == lines


SAVED = """
from celery import shared_task
from django.db.models.signals import post_save
from django.dispatch import receiver

@shared_task
def index(pk):
    LINE

@receiver(post_save, sender=Order)
def saved(sender, instance, **options):
    index.delay(KEY)
"""


def test_a_task_that_reads_no_new_row_finds_what_it_needs(tmp_path: Path) -> None:
    reads = "return Order.objects.get(pk=pk)"
    for name, line, key, count in (
        ("own", reads, "instance.pk", 1),
        ("related", reads, "instance.customer.pk", 0),
        ("message", "print(pk)", "instance.pk", 0),
    ):
        found = numbers(tmp_path / name, SAVED.replace("LINE", line).replace("KEY", key))
        assert len(found & {("OFF306", "warning")}) == count, name


POSTPONED = """
from threading import Thread
from django.db import transaction

def postpone(function):
    def start(*args):
        Thread(target=TARGET, args=args).start()
    return start

@postpone
def tell(pk):
    requests.post('https://x.test', timeout=1)

def pay(request):
    with transaction.atomic():
        Order.objects.create()
        tell(1)
"""


def test_what_a_decorator_hands_to_a_thread_waits_in_no_transaction(tmp_path: Path) -> None:
    for target, count in {"function": 0, "print": 1}.items():
        found = numbers(tmp_path / target, POSTPONED.replace("TARGET", target))
        assert len(found & {("OFF110", "warning")}) == count, target


def test_a_result_that_is_ready_is_not_waited_for(tmp_path: Path) -> None:
    code = (
        "from celery.result import AsyncResult\n\ndef poll(pk):\n    result = AsyncResult(pk)\n"
        "    if WHEN:\n        return result.get()\n"
    )
    for when, count in {"result.ready()": 0, "pk": 1}.items():
        found = numbers(tmp_path / str(count), code.replace("WHEN", when))
        assert len(found & {("OFF405", "warning")}) == count, when


@pytest.mark.parametrize(("end", "severity"), [("return", "warning"), ("continue", "error")])
def test_a_loop_that_any_error_ends_swallows_a_cancellation_only_perhaps(
    tmp_path: Path, end: str, severity: str
) -> None:
    code = (
        "async def consume():\n    while True:\n        try:\n            await asyncio.sleep(9)\n"
        f"        except:\n            {end}\n"
    )
    assert ("OFF503", severity) in numbers(tmp_path, code)


@pytest.mark.parametrize(("base", "count"), [("AsyncWebsocketConsumer", 0), ("Client", 1)])
def test_nobody_asks_whether_a_method_of_a_consumer_was_cancelled(
    tmp_path: Path, base: str, count: int
) -> None:
    code = (
        f"from channels.generic.websocket import {base}\n\nclass Chat({base}):\n"
        "    async def disconnect(self, code):\n        try:\n            await self.leave()\n"
        "        except BaseException:\n            pass\n"
    )
    assert [each.rule for each in findings(tmp_path, code)].count("OFF503") == count


@pytest.mark.parametrize(
    ("guard", "count"), [("if _loop is not None:\n        return _loop", 0), ("print(_loop)", 1)]
)
def test_a_thread_that_is_started_once_is_not_for_one_request(
    tmp_path: Path, guard: str, count: int
) -> None:
    code = (
        "import threading\n\n_loop = None\n\ndef loop():\n    global _loop\n"
        f"    {guard}\n    found = asyncio.new_event_loop()\n"
        "    threading.Thread(target=found.run_forever).start()\n    _loop = found\n\n"
        "def view(request):\n    return loop()\n"
    )
    assert [each.rule for each in findings(tmp_path, code)].count("OFF505") == count

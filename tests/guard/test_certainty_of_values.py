"""What was accused wrongly because of a value, of who waits, or of who has fetched a row.

Each kind stands beside the mistake that it resembles. `docs/public.md` says how often the linter
was right on public projects.
"""

from pathlib import Path

import pytest
from example_shop import MODELS, findings
from twins import Twins, check, numbers

MOVE = """
from django.db import transaction

from .tasks import credit

class Status:
    DONE = "done"
    SENT = "sent"

@transaction.atomic
def view(request):
    move(Order.objects.create(), STATUS)

def move(order, status, note=""):
    order.status = status
    order.save()
    if CONDITION:
        credit.delay(order.pk)
"""
TASKS = "from celery import shared_task\n\n@shared_task\ndef credit(pk):\n    pass\n"
# By name: the condition of `move`, what the view gives to it, and whether the task is published.
VALUES = {
    "the_value": ("status == Status.DONE", "Status.DONE", True),
    "another_value": ("status == Status.DONE", "Status.SENT", False),
    "another_text": ("status == 'done'", "'sent'", False),
    "the_text": ("status == 'done'", "'done'", True),
    "text_of_a_constant": ("status == Status.DONE", "'sent'", True),
    "one_of_several": ("status in (Status.DONE, Status.SENT)", "Status.SENT", True),
    "none_of_several": ("status in (Status.DONE, Status.PAID)", "Status.SENT", False),
    "and_another_condition": ("order.pk and status == Status.DONE", "Status.SENT", False),
    "or_another_condition": ("order.pk or status == Status.DONE", "Status.SENT", True),
    "variable": ("status == Status.DONE", "request.POST['status']", True),
    "changed_before": ("(status := str(order)) and status == Status.DONE", "Status.SENT", True),
    "value_of_a_variable": ("status == wanted", "Status.SENT", True),
}
THREAD = """
import threading

async def view(request):
    thread = threading.Thread(target=print)
    thread.start()
    END
"""
OWN_LOOP = """
import asyncio
import functools

from celery import shared_task

def nested(coroutine):
    @functools.wraps(coroutine)
    INNER

    return inner

async def settle():
    for order in [1, 2]:
        try:
            await asyncio.sleep(order)
        except:
            print(order)

@shared_task
@nested
async def settle_task():
    await settle()
"""
ACTION = """
from rest_framework.decorators import action
from rest_framework.viewsets import GenericViewSet

from .clients import with_client

class Orders(GenericViewSet):
    @action(detail=False)
    @DECORATOR
    async def search(self, request, client=None):
        return {}
"""
LIFESPAN = """
from contextlib import asynccontextmanager

@asynccontextmanager
async def NAME(app):
    yield
    time.sleep(1)
"""
CONSUMER = """
from channels.generic.websocket import AsyncWebsocketConsumer

class Chat(AsyncWebsocketConsumer):
    async def connect(self):
        user = self.scope["user"]
        print(user.company)
"""
USER = """
from django.contrib.auth.models import AbstractUser
from django.db import models

class User(AbstractUser):
    company = models.ForeignKey("shop.Customer", models.CASCADE)
"""
SETTINGS = "AUTH_USER_MODEL = 'shop.User'\nINSTALLED_APPS = ['shop']\n"
SETS_USER = """
class JWT:
    async def __call__(self, scope, receive, send):
        scope["user"] = await User.objects.RELATIONSaget(pk=1)
"""
KINDS = {
    "thread_that_is_waited_for": Twins(
        "OFF505",
        "error",
        THREAD.replace("END", "return thread.name"),
        THREAD.replace("END", "thread.join()"),
    ),
    "coroutine_that_a_decorator_runs": Twins(
        "OFF503",
        "error",
        OWN_LOOP.replace("INNER", "async def inner():\n        return await coroutine()"),
        OWN_LOOP.replace("INNER", "def inner():\n        return asyncio.run(coroutine())"),
    ),
    "action_below_a_decorator_of_its_own": Twins(
        "OFF504",
        "error",
        ACTION.replace("@DECORATOR\n    ", ""),
        ACTION.replace("DECORATOR", "with_client"),
    ),
}


@pytest.mark.parametrize("name", VALUES)
def test_a_line_for_one_value_does_not_run_with_another(tmp_path: Path, name: str) -> None:
    condition, given, is_run = VALUES[name]
    code = MOVE.replace("CONDITION", condition).replace("STATUS", given)
    assert ("OFF306" in {rule for rule, _ in numbers(tmp_path, code, tasks=TASKS)}) is is_run


@pytest.mark.parametrize("name", KINDS)
def test_a_kind_is_told_from_the_mistake_it_resembles(tmp_path: Path, name: str) -> None:
    check(KINDS[name], tmp_path)


def test_what_runs_before_and_after_all_requests_holds_up_none(tmp_path: Path) -> None:
    found = {
        name: numbers(tmp_path / name, LIFESPAN.replace("NAME", name))
        for name in ("serving", "app_lifespan")
    }
    expected = {"serving": {("OFF103", "error")}, "app_lifespan": set()}
    assert found == expected


def test_a_middleware_may_fetch_relations_with_the_user_of_channels(tmp_path: Path) -> None:
    def of_user(place: str, relations: str) -> set[str]:
        sets_user = SETS_USER.replace("RELATIONS", relations)
        others = {"models": MODELS + USER, "settings": SETTINGS, "auth": sets_user}
        return {rule for rule, _ in numbers(tmp_path / place, CONSUMER, **others)}

    assert "OFF102" in of_user("plain", "")
    assert "OFF102" not in of_user("fetched", "select_related('company').")


def test_a_decorator_gives_a_method_its_object_first(tmp_path: Path) -> None:
    tasks = TASKS.replace("credit(pk)", "credit(slug)")
    code = """
from .tasks import credit

def cached(function):
    @functools.wraps(function)
    def inner(view, order: Order, *args):
        return function(view, order, *args)

    return inner

class Join(View):
    @cached
    def post(self, order, slug):
        credit.delay(GIVEN)
"""
    found = {
        given: {
            rule for rule, _ in numbers(tmp_path / given, code.replace("GIVEN", given), tasks=tasks)
        }
        for given in ("slug", "order")
    }
    assert found == {"slug": set(), "order": {"OFF307"}}


HOOKS = ("add_shutdown_callback", "add_listener")
HEIRS = """
class Source:
    async def refresh(self):
        return self.load()

    def load(self):
        BASE

class Table(Source):
    def load(self):
        time.sleep(1)

class Memory(Source):
    def load(self):
        OTHER

async def view(request):
    await Source().refresh()
"""


@pytest.mark.parametrize(
    ("base", "other", "severity"),
    [
        ("time.sleep(2)", "return []", "error"),
        ("return []", "return []", "warning"),
        ("raise NotImplementedError", "return []", "warning"),
        ("raise NotImplementedError", "time.sleep(3)", "error"),
    ],
)
def test_a_method_that_one_heir_has_wrong_is_only_likely(
    tmp_path: Path, base: str, other: str, severity: str
) -> None:
    code = HEIRS.replace("BASE", base).replace("OTHER", other)
    found = {each.severity for each in findings(tmp_path, code) if each.line == 27}
    assert found == {severity}


def test_what_runs_when_a_process_ends_holds_nobody_up(tmp_path: Path) -> None:
    code = """
class Collector:
    async def close(self):
        time.sleep(1)

async def entry(ctx):
    collector = Collector()

    async def clean_up():
        await collector.close()

    ctx.HOOK(clean_up)
"""
    found = {hook: numbers(tmp_path / hook, code.replace("HOOK", hook)) for hook in HOOKS}
    assert found == {"add_shutdown_callback": set(), "add_listener": {("OFF103", "error")}}


SCRIPT = """
import asyncio
import time

class Loader:
    async def fetch(self):
        time.sleep(1)

async def main():
    await Loader().fetch()

START
"""


@pytest.mark.parametrize(
    ("start", "is_alone"),
    [
        ("asyncio.run(main())", True),
        ("TABLE = {1: lambda fetch: Loader(fetch)}\nasyncio.run(main())", True),
        ("asyncio.run(main())\nCALLS = [Loader.fetch]", False),
        ("CALLS = [main]", False),
    ],
)
def test_a_script_has_its_loop_for_itself(tmp_path: Path, start: str, is_alone: bool) -> None:
    found = numbers(tmp_path, "", load_them=SCRIPT.replace("START", start))
    assert found == (set() if is_alone else {("OFF103", "error")})


def test_each_value_has_a_line_of_its_own(tmp_path: Path) -> None:
    both = MOVE + "    elif status == Status.SENT:\n        credit.delay(order.pk)\n"
    both = both.replace("CONDITION", "status == Status.DONE")
    found = {
        status: {rule for rule, _ in numbers(tmp_path / status, code, tasks=TASKS)}
        for status in ("DONE", "SENT", "PAID")
        for code in [both.replace("STATUS", f"Status.{status}")]
    }
    assert found == {"DONE": {"OFF306"}, "SENT": {"OFF306"}, "PAID": set()}

"""What is right because of who calls it, each kind beside the mistake that it resembles."""

from pathlib import Path

import pytest
from example_shop import HEAD, findings
from twins import Twins, check, numbers

from offload_dev.lint.grade import grade
from offload_dev.lint.source.project import Project

TASK = "from celery import shared_task\n\n@shared_task(time_limit=60)\ndef send(pk):\n    pass\n\n"
SIGNALS = "from django.dispatch import Signal\n\nfirst = Signal()\nsecond = Signal()\n\n"
HTTP = "def load():\n    return requests.get('https://x.test', timeout=1)\n\n"
ATOMIC = "from django.db import transaction\n\n"
IMAGE = "import io\n\nfrom PIL import Image\n\n"
NINJA = """
from ninja import Router
from ninja.security import HttpBearer

router = Router()

class Token(HttpBearer):
    def authenticate(self, request, token):
        return Customer.objects.filter(name=token).first()

"""
LOAD = "def load():\n    return requests.get('https://x.test')\n\n"
AI = "import openai\n\ndef view(request):\n    client = openai.OpenAI()\n"
CACHED = """
from concurrent.futures import ThreadPoolExecutor

from django.core.cache import cache

KEY = "rates"
pool = ThreadPoolExecutor(1)

def load():
    return 1

def rates():
    found = cache.get(KEY)
    if found is not None:
        return found
    return pool.submit(load).result(timeout=5)

"""
REMOTE = """
def locate(place, remote=False):
    if not remote:
        return place
    return requests.get(place, timeout=1)

"""
SAVED = (
    ATOMIC
    + """
from django.db import models

class Member(models.Model):
    email = models.CharField(max_length=9)
    paid = models.BooleanField()

    def save(self, *args, **kwargs):
        old = Member.objects.filter(pk=self.pk).first()
        changed = old is not None and old.email != self.email
        super().save(*args, **kwargs)
        if CONDITION:
            requests.post("https://x.test", timeout=1)

def pay(member: Member):
    with transaction.atomic():
        member.save(update_fields=["paid"])
"""
)
CASES = {
    "save_of_the_field_that_the_condition_asks_for": Twins(
        "OFF110",
        "warning",
        SAVED.replace("CONDITION", "changed").replace('["paid"]', '["email"]'),
        SAVED.replace("CONDITION", "changed"),
    ),
    "save_whose_condition_asks_for_no_change": Twins(
        "OFF110",
        "warning",
        SAVED.replace("CONDITION", "changed or self.email"),
        SAVED.replace("CONDITION", "changed or not self.pk"),
    ),
    "receiver_of_another_signal": Twins(
        "OFF103",
        "error",
        SIGNALS + "def tell(**kwargs):\n    requests.get('https://x.test', timeout=1)\n\n"
        "first.connect(tell)\n\nasync def view(request):\n    first.send(sender=None)\n",
        SIGNALS + "def tell(**kwargs):\n    requests.get('https://x.test', timeout=1)\n\n"
        "first.connect(tell)\n\nasync def view(request):\n    second.send(sender=None)\n",
    ),
    "function_for_after_the_commit": Twins(
        "OFF110",
        "warning",
        ATOMIC + HTTP + "def note():\n    load()\n\n"
        "@transaction.atomic\ndef pay(request):\n    note()\n",
        ATOMIC + HTTP + "def note():\n    try:\n        transaction.on_commit(load)\n"
        "    except RuntimeError:\n        load()\n\n"
        "@transaction.atomic\ndef pay(request):\n    note()\n",
    ),
    "task_of_a_far_function": Twins(
        "OFF306",
        "error",
        ATOMIC + TASK + "def one(pk):\n    send.delay(pk)\n\n"
        "@transaction.atomic\ndef pay(request):\n    order = Order.objects.create()\n"
        "    one(order.pk)\n",
        ATOMIC + TASK + "def one(pk):\n    send.delay(pk)\n\ndef two(pk):\n    one(pk)\n\n"
        "def three(pk):\n    two(pk)\n\n"
        "@transaction.atomic\ndef pay(request):\n    order = Order.objects.create()\n"
        "    three(order.pk)\n",
    ),
    "task_that_is_a_row": Twins(
        "OFF306",
        "error",
        ATOMIC + TASK + "@transaction.atomic\ndef pay(request):\n"
        "    send.delay(Order.objects.create().pk)\n",
        ATOMIC
        + TASK.replace("celery import shared_task", "dispatcherd.publish import task").replace(
            "@shared_task(time_limit=60)", "@task()"
        )
        + "@transaction.atomic\n"
        "def pay(request):\n    send.delay(Order.objects.create().pk)\n",
    ),
    "computing_only_for_a_new_file": Twins(
        "OFF203",
        "warning",
        IMAGE + "def resize(data):\n    Image.open(io.BytesIO(data)).resize((9, 9))\n\n"
        "def view(request):\n    for data in request.FILES:\n        resize(data)\n",
        IMAGE + "class Picture:\n    def save(self):\n        if self.is_new:\n"
        "            Image.open(io.BytesIO(self.data)).resize((9, 9))\n\n"
        "def view(request):\n    for _ in request.FILES:\n        Picture().save()\n",
    ),
    "client_that_no_request_waits_for": Twins(
        "OFF405",
        "warning",
        "from openai import OpenAI\n\ndef view(request):\n    return OpenAI(api_key='k')\n",
        "from openai import OpenAI\n\ndef nightly():\n    return OpenAI(api_key='k')\n",
    ),
    "lock_that_ends_by_another_name": Twins(
        "OFF405",
        "warning",
        "from django.core.cache import cache\n\ndef lock():\n    return cache.lock('report')\n",
        "from django.core.cache import cache\n\ndef lock():\n"
        "    return cache.lock('report', expire=60)\n",
    ),
    "object_that_keeps_nothing_of_a_loop": Twins(
        "OFF506",
        "warning",
        "class Manager:\n    def __init__(self):\n        self.waiting = asyncio.Queue()\n\n"
        "    async def run(self):\n        await self.waiting.get()\n\n"
        "def main():\n    manager = Manager()\n    while True:\n"
        "        asyncio.run(manager.run())\n",
        "class Manager:\n    async def run(self):\n        await asyncio.Queue().get()\n\n"
        "def main():\n    manager = Manager()\n    while True:\n"
        "        asyncio.run(manager.run())\n",
    ),
    "value_that_each_thread_makes": Twins(
        "OFF506",
        "warning",
        "import threading\n\nlocal = threading.local()\n\ndef keep(user):\n    local.user = user\n",
        "import threading\n\nlocal = threading.local()\n\ndef session():\n"
        "    if not hasattr(local, 'session'):\n        local.session = requests.Session()\n"
        "    return local.session\n",
    ),
    "value_that_is_put_back": Twins(
        "OFF506",
        "warning",
        "import threading\n\nlocal = threading.local()\n\ndef switch(value):\n"
        "    local.value = value\n",
        "import threading\n\nlocal = threading.local()\n\n@contextlib.contextmanager\n"
        "def switched(value):\n    local.value = value\n    yield\n    local.value = None\n",
    ),
    "lock_without_an_await": Twins(
        "OFF105",
        "error",
        "import threading\n\nlock = threading.Lock()\n\nasync def view(request):\n"
        "    lock.acquire()\n    await asyncio.sleep(1)\n    lock.release()\n",
        "import threading\n\nlock = threading.Lock()\n\nasync def view(request):\n"
        "    lock.acquire()\n    seen.append(1)\n    lock.release()\n    await asyncio.sleep(1)\n",
    ),
    "task_of_an_outer_variable": Twins(
        "OFF501",
        "error",
        "async def work():\n    await queue.put(1)\n\ndef start():\n"
        "    task = asyncio.create_task(work())\n",
        "async def work():\n    await queue.put(1)\n\ndef around():\n    task = None\n\n"
        "    def start():\n        nonlocal task\n        task = asyncio.create_task(work())\n\n"
        "    return start\n",
    ),
    "authentication_of_plain_endpoints": Twins(
        "OFF101",
        "warning",
        NINJA + "@router.get('/orders')\nasync def orders(request):\n    return []\n",
        NINJA + "@router.get('/orders')\ndef orders(request):\n    return []\n",
    ),
    "task_that_a_save_publishes": Twins(
        "OFF306",
        "error",
        ATOMIC + TASK + "class Form:\n    def tell(self, pk):\n        send.delay(pk)\n\n"
        "@transaction.atomic\ndef pay(request):\n    order = Order.objects.create()\n"
        "    Form().tell(order.pk)\n",
        ATOMIC + TASK + "class Form:\n    def save(self, pk):\n        send.delay(pk)\n\n"
        "@transaction.atomic\ndef pay(request):\n    order = Order.objects.create()\n"
        "    Form().save(order.pk)\n",
    ),
    "task_that_gets_a_text": Twins(
        "OFF306",
        "error",
        ATOMIC + TASK + "@transaction.atomic\ndef pay(request):\n"
        "    order = Order.objects.create()\n    send.delay(order.pk)\n",
        ATOMIC + TASK + "def pay(request):\n    text = 'a new order'\n"
        "    Order.objects.create()\n    send.delay(text)\n",
    ),
    "branch_that_never_runs": Twins(
        "OFF103",
        "error",
        "async def view(request):\n    if request.GET:\n        time.sleep(1)\n",
        "async def view(request):\n    if request.POST:\n        pass\n"
        "    elif False:\n        time.sleep(1)\n",
    ),
    "call_below_an_early_end": Twins(
        "OFF103",
        "error",
        REMOTE + "async def view(request):\n    return locate('a', remote=True)\n",
        REMOTE + "async def view(request):\n    return locate('a')\n",
    ),
    "client_of_an_async_helper": Twins(
        "OFF403",
        "error",
        "import httpx\n\nasync def view(request):\n"
        "    async with httpx.AsyncClient(timeout=3) as client:\n"
        "        return await client.get('/')\n",
        "import httpx\n\nasync def load():\n"
        "    async with httpx.AsyncClient(timeout=3) as client:\n"
        "        return await client.get('/')\n",
    ),
    "call_of_a_script": Twins(
        "OFF405",
        "warning",
        "def load():\n    return requests.get('https://x.test')\n",
        "def load():\n    return requests.get('https://x.test')\n\n"
        "if __name__ == '__main__':\n    load()\n",
    ),
    "call_that_a_limit_of_an_hour_ends": Twins(
        "OFF405",
        "warning",
        "LIMITS = {'soft_time_limit': 3600}\n# soft_time_limit=60\n\n" + LOAD,
        "LIMITS = {'soft_time_limit': 60}\n\n" + LOAD,
    ),
    "client_whose_calls_have_a_timeout": Twins(
        "OFF405",
        "warning",
        AI + "    return client.responses.create(input=request.body)\n",
        AI + "    return client.responses.create(input=request.body, timeout=20)\n",
    ),
    "call_that_the_limit_of_a_task_ends": Twins(
        "OFF405",
        "warning",
        "LIMITS = {}\n\ndef load():\n    return requests.get('https://x.test')\n",
        "LIMITS = {'soft_time_limit': 60}\n\ndef load():\n"
        "    return requests.get('https://x.test')\n",
    ),
    "client_that_a_started_service_makes": Twins(
        "OFF403",
        "error",
        "import httpx\n\nasync def view(request):\n    client = httpx.AsyncClient(timeout=3)\n"
        "    return await client.get('/')\n",
        "import httpx\n\nclass Relay:\n    async def run(self):\n"
        "        client = httpx.AsyncClient(timeout=3)\n        return await client.get('/')\n",
    ),
}
COMMAND = """
import asyncio

from django.core.management.base import BaseCommand
from shop.models import Order

class Command(BaseCommand):
    def handle(self, *args, **options):
        asyncio.run(self.work())

    async def work(self):
        LINE
"""


@pytest.mark.parametrize("name", CASES)
def test_a_right_caller_is_told_from_a_wrong_one(tmp_path: Path, name: str) -> None:
    check(CASES[name], tmp_path)


@pytest.mark.parametrize(
    ("line", "unsafe", "expected"),
    [
        ("print(Order.objects.count())", "", {("OFF101", "error")}),
        ("print(Order.objects.count())", "DJANGO_ALLOW_ASYNC_UNSAFE", set()),
        ("import time; time.sleep(1)", "", set()),
    ],
)
def test_a_command_blocks_nobody_but_django_refuses_its_queries(
    tmp_path: Path, line: str, unsafe: str, expected: set[tuple[str, str]]
) -> None:
    files = {"management/commands/work": COMMAND.replace("LINE", line), "notes": f"# {unsafe}\n"}
    found = numbers(tmp_path, "", **files)
    assert {each for each in found if each[0] in ("OFF101", "OFF103")} == expected


def test_what_only_unused_functions_name_is_unused(tmp_path: Path) -> None:
    code = "async def number_of():\n    return Order.objects.count()\n\nasync def report():\n"
    unused = numbers(
        tmp_path / "unused", f"{code}    return await number_of()\n", urls="import shop.views\n"
    )
    assert ("OFF101", "error") not in unused
    used = f"{code}    return await number_of()\n\nurls = [report]\n"
    assert ("OFF101", "error") in numbers(tmp_path / "used", used, urls="import shop.views\n")


def test_a_function_that_is_only_imported_is_not_run(tmp_path: Path) -> None:
    urls = "from shop.views import load\n\nurlpatterns = [LINE]\n"
    used = numbers(tmp_path / "used", LOAD, urls=urls.replace("LINE", "load"))
    unused = numbers(tmp_path / "unused", LOAD, urls=urls.replace("LINE", "\n    # load,\n"))
    assert ("OFF405", "warning") in used
    assert "OFF405" not in {rule for rule, _ in unused}


@pytest.mark.parametrize(
    ("lines", "count"), [("rates()", 1), ("if request.GET:\n        rates()", 2)]
)
def test_what_an_earlier_line_has_cached_is_there(tmp_path: Path, lines: str, count: int) -> None:
    (tmp_path / "views.py").write_text(
        CACHED + f"async def view(request):\n    {lines}\n    return [rates() for _ in 'ab']\n"
    )
    found = [each.rule for each in grade(Project(tmp_path))]
    assert found.count("OFF105") == count


def test_an_export_of_the_admin_is_rare(tmp_path: Path) -> None:
    code = HEAD + (
        "import csv\n\ndef view(request):\n    writer = csv.writer(request)\n"
        "    for order in Order.objects.all():\n        writer.writerow([order.pk])\n"
    )
    assert ("OFF203", "warning") in numbers(tmp_path / "public", "", exports=code)
    assert "OFF203" not in {rule for rule, _ in numbers(tmp_path / "rare", "", admin=code)}


LOCKED = """
from django.tasks import task

def locked(function):
    async def wrapper(*args):
        time.sleep(1)
        return await function(*args)
    return wrapper

@task
@locked
async def sync_rows():
    pass
"""


def test_a_decorator_of_tasks_runs_where_the_tasks_run(tmp_path: Path) -> None:
    view = "\n@locked\nasync def view(request):\n    pass\n"
    assert numbers(tmp_path / "tasks", LOCKED) == set()
    assert numbers(tmp_path / "view", LOCKED + view) == {("OFF103", "error")}


def test_django_awaits_no_method_of_a_row_that_sync_code_runs(tmp_path: Path) -> None:
    agent = (
        "import asyncio\nimport time\n\nfrom django.db import models\n\n"
        "class Agent(models.Model):\n    async def ask(self):\n        time.sleep(1)\n\n"
    )
    view = "{} view(request, agent):\n    return {}\n"
    for way, line, count in (
        ("def", "asyncio.run(agent.ask())", 0),
        ("async def", "await agent.ask()", 1),
    ):
        found = findings(tmp_path / str(count), view.format(way, line), agents=agent)
        assert [each.rule for each in found if each.rule == "OFF103"] == ["OFF103"] * count


@pytest.mark.parametrize(
    ("runner", "has_own_loop"),
    [
        ("    async def wrapped():\n        await made()\n\n    asyncio.run(wrapped())\n", True),
        ("    HANDLERS.append(made)\n", False),
    ],
)
def test_a_helper_runs_what_it_gets_in_a_loop_of_its_own(
    tmp_path: Path, runner: str, has_own_loop: bool
) -> None:
    code = (
        "import asyncio\nimport time\n\nfrom celery import shared_task\n\nHANDLERS = []\n\n"
        f"def run(made):\n{runner}\n"
        "@shared_task(time_limit=9)\ndef task():\n    async def send():\n        time.sleep(1)\n\n"
        "    run(send)\n"
    )
    found = numbers(tmp_path, "", tasks=code)
    assert (("OFF103", "error") not in found) is has_own_loop


def test_a_plain_view_of_rest_framework_has_read_its_user(tmp_path: Path) -> None:
    code = "async def view(request):\n    return request.user.id\n"
    wrapped = f"from rest_framework.decorators import api_view\n\n@api_view(['GET'])\n{code}"
    assert ("OFF102", "error") in numbers(tmp_path / "plain", code)
    assert "OFF102" not in {rule for rule, _ in numbers(tmp_path / "rest", wrapped)}


def test_a_task_starts_only_where_an_event_loop_runs(tmp_path: Path) -> None:
    code = (
        "from channels.db import database_sync_to_async\n\nDECORATOR\nKIND send(self):\n"
        "    asyncio.create_task(asyncio.sleep(1))\n"
    )
    thread = code.replace("DECORATOR", "@database_sync_to_async").replace("KIND", "def")
    loop = code.replace("DECORATOR", "").replace("KIND", "async def")
    assert ("OFF501", "error") in numbers(tmp_path / "loop", loop)
    assert "OFF501" not in {rule for rule, _ in numbers(tmp_path / "thread", thread)}

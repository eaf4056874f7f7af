"""What was accused wrongly in public projects, each kind beside the mistake that it resembles.

`docs/public.md` says how often the linter was right on public projects.
"""

from pathlib import Path

import pytest
from test_types import HEAD, MODELS, findings

from offload_dev.lint.grade import grade
from offload_dev.lint.source import Project

# By name: the rule, its severity on the wrong code, the wrong code, the right code.
KINDS = {
    "async_task_of_another_library": (
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
    "variable_of_the_process": (
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
    "attribute_of_the_class": (
        "OFF103",
        "error",
        """
class Settings:
    known = None

    def load(self):
        if self.known is None:
            self.known = requests.get("https://x.test", timeout=1)

async def view(request):
    Settings().load()
""",
        """
class Settings:
    known = None

    @classmethod
    def load(cls):
        if cls.known is None:
            cls.known = requests.get("https://x.test", timeout=1)

async def view(request):
    Settings.load()
""",
    ),
    "argument_that_is_not_given": (
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
    "argument_that_is_false": (
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
    "queryset_fetched_before": (
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
    "queryset_with_its_relations": (
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
    "client_in_a_collection": (
        "OFF403",
        "warning",
        """
import httpx

clients = {}

def connect():
    return httpx.AsyncClient()

async def view(request, key):
    client = connect()
    return await client.get(key)
""",
        """
import httpx

clients = {}

def connect():
    return httpx.AsyncClient()

async def view(request, key):
    client = clients.get(key)
    if not client:
        client = connect()
        clients[key] = client
    return await client.get(key)
""",
    ),
    "early_return_of_what_the_process_keeps": (
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
    "list_instead_of_a_queryset": (
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
    "transaction_that_only_reads": (
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
    "client_for_many_calls": (
        "OFF403",
        "error",
        """
import httpx

async def view(request, name):
    async with httpx.AsyncClient() as client:
        return await client.get(name)
""",
        """
import httpx

async def copy(names):
    async with httpx.AsyncClient() as client:
        for name in names:
            await client.get(name)
""",
    ),
    "result_that_a_cache_keeps": (
        "OFF103",
        "error",
        """
@functools.lru_cache
def load(name):
    return requests.get(name, timeout=1)

async def view(request, name):
    return load(name)
""",
        """
@functools.lru_cache
def load():
    return requests.get("https://x.test", timeout=1)

async def view(request):
    return load()
""",
    ),
    "branch_without_a_loop": (
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
    "cancellation_that_ends_the_task": (
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
    "gather_of_limited_calls": (
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
    "gather_of_tasks_that_run": (
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
    "gather_of_a_few_calls": (
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
    "gather_that_waits_for_all": (
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
    "gather_of_what_the_source_bounds": (
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
    "gather_of_calls_that_are_limited_below": (
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
    "gather_whose_handler_cancels": (
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
    "decorator_that_runs_the_coroutine": (
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
    "page_that_django_renders_in_a_thread": (
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
    "connection_that_the_first_command_opens": (
        "OFF103",
        "error",
        """
from django_redis import get_redis_connection

async def view(request):
    return get_redis_connection("default").get("x")
""",
        """
from django_redis import get_redis_connection

async def view(request):
    return get_redis_connection("default")
""",
    ),
    "template_of_a_prompt": (
        "OFF103",
        "error",
        """
from langchain_openai import ChatOpenAI

async def view(request):
    return ChatOpenAI().invoke("x")
""",
        """
from langchain_core.prompts import PromptTemplate

async def view(request):
    return PromptTemplate.from_template("x").invoke({"x": 1})
""",
    ),
    "task_of_a_receiver": (
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
    "short_answer": (
        "OFF201",
        "warning",
        """
import csv

async def view(request):
    return list(csv.reader(request.body.decode().splitlines()))
""",
        """
import csv

async def load(client):
    answer = await client.get("/rows")
    return list(csv.reader(answer.text.splitlines()))

async def view(request):
    return await load(request.client)
""",
    ),
    "user_that_ninja_has_read": (
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
    "small_file": (
        "OFF103",
        "warning",
        """
async def view(request, path):
    with open(path) as file:
        return file.read()
""",
        """
import os

async def view(request, path):
    return os.path.exists(path)
""",
    ),
}


@pytest.mark.parametrize("name", KINDS)
def test_the_mistake_is_found(tmp_path: Path, name: str) -> None:
    rule, severity, wrong, _ = KINDS[name]
    assert (rule, severity) in {(each.rule, each.severity) for each in findings(tmp_path, wrong)}


@pytest.mark.parametrize("name", KINDS)
def test_the_right_code_that_resembles_it_is_not_accused(tmp_path: Path, name: str) -> None:
    rule, *_, right = KINDS[name]
    assert rule not in {each.rule for each in findings(tmp_path, right)}


BLOCKING = HEAD + "async def main():\n    time.sleep(1)\n"


def at(root: Path, place: str, text: str) -> list[tuple[str, str, str]]:
    """What the linter says of one file in a service."""
    path = root / place
    path.parent.mkdir(parents=True)
    path.write_text(text)
    (path.parent / "models.py").write_text(MODELS)
    return [(each.rule, each.severity, each.likely) for each in grade(Project(root))]


def test_a_script_has_an_event_loop_of_its_own(tmp_path: Path) -> None:
    script = BLOCKING + "\nif __name__ == '__main__':\n    asyncio.run(main())\n"
    assert at(tmp_path, "shop/tool.py", script) == []
    assert [rule for rule, *_ in at(tmp_path, "other/views.py", BLOCKING)] == ["OFF103"]
    assert len(at(tmp_path, "scripts/load.py", BLOCKING)) == 1


def test_a_management_command_has_its_event_loop_for_itself(tmp_path: Path) -> None:
    assert at(tmp_path, "shop/management/commands/load.py", BLOCKING) == []


def test_what_sync_code_runs_has_its_event_loop_for_itself(tmp_path: Path) -> None:
    text = BLOCKING.replace("async def", "@async_to_sync\nasync def")
    text = text.replace("import sync_to_async", "import async_to_sync, sync_to_async")
    assert at(tmp_path, "shop/views.py", text) == []


def test_what_another_file_prefetches_is_not_accused(tmp_path: Path) -> None:
    view = (
        HEAD
        + "async def view(request, customer: Customer):\n    return list(customer.orders.all())\n"
    )
    assert [rule for rule, *_ in at(tmp_path, "shop/views.py", view)] == ["OFF101"]
    fetch = "def load(customers):\n    return customers.prefetch_related('orders')\n"
    assert at(tmp_path, "other/queries.py", fetch) == []


def test_an_argument_is_followed_through_a_function_that_hands_it_on(tmp_path: Path) -> None:
    code = """
def find(pk=None):
    if pk:
        return Order.objects.get(pk=pk)
    return None

def load(pk=None):
    return find(pk)

async def view(request, pk, **options):
    return load(GIVEN)
"""
    (found,) = findings(tmp_path / "given", code.replace("GIVEN", "pk"))
    assert (found.rule, found.severity) == ("OFF101", "error")
    assert findings(tmp_path / "left_out", code.replace("GIVEN", "")) == []
    assert findings(tmp_path / "not_shown", code.replace("GIVEN", "**options")) == []


def test_a_cache_in_the_process_does_not_block(tmp_path: Path) -> None:
    view = """
from django.core.cache import caches

async def view(request):
    return caches["process"].get("x")
"""
    assert [rule for rule, *_ in at(tmp_path, "shop/views.py", view)] == ["OFF103"]
    backend = "django.core.cache.backends.locmem.LocMemCache"
    settings = f'CACHES = {{"process": {{"BACKEND": "{backend}"}}}}'
    assert at(tmp_path, "config/settings.py", settings) == []


def test_the_default_cache_does_not_block_in_the_process(tmp_path: Path) -> None:
    view = """
from django.core.cache import cache

async def view(request):
    return cache.get("x")
"""
    local = '# in the process\n"BACKEND": "django.core.cache.backends.locmem.LocMemCache"'
    remote = '"BACKEND": "django.core.cache.backends.redis.RedisCache"'
    settings = 'CACHES = {"default": {%s}}\n'
    assert [rule for rule, *_ in at(tmp_path, "shop/views.py", view)] == ["OFF103"]
    assert at(tmp_path, "config/local.py", settings % local) == []
    found = at(tmp_path, "production/server.py", settings % remote)
    assert [rule for rule, *_ in found] == ["OFF103"]


def test_the_file_of_a_helper_counts_only_in_a_view(tmp_path: Path) -> None:
    helper = "def load():\n    return open('x').read()\n\n"
    loads = HEAD + helper + "async def work(queue):\n    return load()\n"
    assert at(tmp_path, "shop/work.py", loads) == []
    view = HEAD + helper + "async def view(request):\n    return load()\n"
    assert [rule for rule, *_ in at(tmp_path, "other/views.py", view)] == ["OFF103"]


def test_the_user_may_have_been_set_before(tmp_path: Path) -> None:
    view = HEAD + "async def view(request):\n    return request.user.pk\n"
    assert [severity for _, severity, _ in at(tmp_path, "shop/views.py", view)] == ["error"]
    sets = "def authenticate(request, user):\n    request.user = user\n"
    assert at(tmp_path, "auth/middleware.py", sets) == []


def test_a_user_that_is_only_handed_on_is_not_read(tmp_path: Path) -> None:
    code = "async def view(request):\n    return GIVEN\n"
    (read,) = findings(tmp_path / "read", code.replace("GIVEN", "request.user.pk"))
    assert read.severity == "error"
    assert findings(tmp_path / "handed", code.replace("GIVEN", "print(request.user)")) == []


def test_rest_framework_has_read_the_user_before_the_handler(tmp_path: Path) -> None:
    view = """
from adrf.viewsets import ModelViewSet
from django.views import View

class Orders(ModelViewSet):
    async def create(self, request):
        return self.request.user.pk

class Page(View):
    async def get(self, request):
        return self.request.user.pk
"""
    found = at(tmp_path, "shop/views.py", view)
    assert [rule for rule, *_ in found] == ["OFF102"]


def test_a_file_is_reported_only_on_the_way_of_a_request(tmp_path: Path) -> None:
    reads = HEAD + "async def load():\n    return open('x').read()\n\n"
    worker = "async def work(queue):\n    return await load()\n"
    assert at(tmp_path, "shop/work.py", reads + worker) == []
    view = "async def view(request):\n    return await load()\n"
    assert [rule for rule, *_ in at(tmp_path, "other/views.py", reads + view)] == ["OFF103"]
    moves = reads.replace("open('x').read()", "shutil.move('x', 'y')").replace("HEAD", "")
    moves = f"import shutil\n{moves}"
    assert at(tmp_path / "moves", "shop/work.py", moves + worker) == []
    found = at(tmp_path / "moved", "shop/views.py", moves + view)
    assert [severity for _, severity, _ in found] == ["error"]
    consumer = """
from channels.generic.websocket import AsyncJsonWebsocketConsumer

class Chat(AsyncJsonWebsocketConsumer):
    async def receive_json(self, content):
        return open("x").read()
"""
    found = at(tmp_path, "third/consumers.py", consumer)
    assert "OFF103" in [rule for rule, *_ in found]


RUNS = "def work():\n    return asyncio.run(load_it())\n\n"
LOADS = HEAD + "async def load_it():\n    time.sleep(1)\n\n"


def test_what_blocks_a_loop_of_one_call_stops_nobody(tmp_path: Path) -> None:
    assert at(tmp_path / "alone", "shop/work.py", LOADS + RUNS) == []
    to_sync = "from asgiref.sync import async_to_sync\n"
    given = to_sync + LOADS + "def work():\n    return async_to_sync(load_it)()\n"
    assert at(tmp_path / "given", "given/work.py", given) == []
    for place, more in {
        "awaited": "async def view(request):\n    await load_it()\n",
        "named": "HANDLERS = [load_it]\n",
    }.items():
        found = at(tmp_path / place, "shop/work.py", LOADS + RUNS + more)
        assert [rule for rule, *_ in found] == ["OFF103"], place


def test_a_function_that_nothing_names_is_not_run(tmp_path: Path) -> None:
    assert [rule for rule, *_ in at(tmp_path, "shop/work.py", LOADS)] == ["OFF103"]
    at(tmp_path, "config/urls.py", "")
    assert [rule for rule, *_ in at(tmp_path, "other/__init__.py", "")] == []
    method = LOADS.replace(
        "async def load_it():", "class A:\n    @staticmethod\n    async def b1():"
    )
    assert at(tmp_path, "fourth/method.py", method.replace("    time", "        time")) == []
    # Two folders that are no packages may have files of the same name.
    same = "from work import load_it\n"
    for place in ("fifth", "sixth"):
        found = at(tmp_path, f"{place}/same.py", same if place == "fifth" else "")
    assert [rule for rule, *_ in found] == ["OFF103"]
    (tmp_path / "fifth" / "same.py").unlink()
    named = "HANDLERS = ['shop.work.load_it']\n"
    assert [rule for rule, *_ in at(tmp_path, "third/names.py", named)] == ["OFF103"]

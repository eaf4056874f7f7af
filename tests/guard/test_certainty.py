"""What is right because of where it stands: in a script, a command, a thread, beside a setting."""

from pathlib import Path

from example_shop import HEAD, MODELS, findings

from offload_dev.lint.grade import grade
from offload_dev.lint.source.project import Project

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
    moves = reads.replace("open('x').read()", "shutil.rmtree('x')").replace("HEAD", "")
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
    same = "from work import load_it\n\nWORK = load_it\n"
    for place in ("fifth", "sixth"):
        found = at(tmp_path, f"{place}/tasks.py", same if place == "fifth" else "")
    assert [rule for rule, *_ in found] == ["OFF103"]
    (tmp_path / "fifth" / "tasks.py").unlink()
    named = "HANDLERS = ['shop.work.load_it']\n"
    assert [rule for rule, *_ in at(tmp_path, "third/apps.py", named)] == ["OFF103"]

"""Which event loops are shared: those of sync code, of a WSGI server and of one call are not."""

from pathlib import Path

import pytest
from twins import numbers


@pytest.mark.parametrize(
    ("call", "severity"),
    [
        ("asyncio.run(Store().load())", "warning"),
        ("asyncio.new_event_loop().run_until_complete(Store().load())", "warning"),
        ("async_to_sync(Store().load)()", "error"),
    ],
)
def test_a_loop_of_its_own_is_likely_where_other_objects_have_the_method(
    tmp_path: Path, call: str, severity: str
) -> None:
    code = (
        "from asgiref.sync import async_to_sync\n\nclass Store:\n    async def load(self):\n"
        f"        time.sleep(1)\n\ndef view(request, it):\n    print(it.load)\n    {call}\n"
    )
    assert ("OFF103", severity) in numbers(tmp_path, code)


STORE = "class Store:\n    async def load(self):\n        time.sleep(1)\n\n"


@pytest.mark.parametrize(
    ("code", "severity"),
    [
        # The loop of a view, and a handler that somebody gets: no request comes to this one.
        (STORE + "async def view(request):\n    await Store().load()\n", "error"),
        (STORE + "def view(request, bot):\n    bot.on(Store().load)\n", "warning"),
        # A private method of a plain view runs only where the view starts a loop.
        (
            STORE
            + "class Page(View):\n    async def _load(self):\n        await Store().load()\n\n"
            "    def get(self, request, it):\n        asyncio.run(self._load())\n"
            "        print(it.load)\n\nview = Page.as_view()\n",
            "warning",
        ),
    ],
)
def test_a_loop_is_shared_where_others_call_a_function(
    tmp_path: Path, code: str, severity: str
) -> None:
    found = numbers(tmp_path, code, urls="from shop.views import view\n\nurlpatterns = [view]\n")
    assert ("OFF103", severity) in found


def test_an_inner_function_is_named_only_by_the_one_around_it(tmp_path: Path) -> None:
    task = (
        "@shared_task\ndef {0}():\n    async def load():\n        time.sleep(1)\n\n"
        "    async_to_sync(load)()\n\n"
    )
    code = "from asgiref.sync import async_to_sync\nfrom celery import shared_task\n\n"
    assert numbers(tmp_path, code + task.format("one") + task.format("two")) == set()


@pytest.mark.parametrize(
    ("command", "severity"), [("gunicorn shop.wsgi", "warning"), ("uvicorn shop.asgi:app", "error")]
)
def test_a_server_of_wsgi_alone_runs_each_view_in_a_loop_of_its_own(
    tmp_path: Path, command: str, severity: str
) -> None:
    (tmp_path / "Procfile").write_text(f"web: {command}\n")
    settings = "INSTALLED_APPS = []\nASGI_APPLICATION = 'shop.asgi.app'\n"
    code = "async def view(request):\n    time.sleep(1)\n"
    assert numbers(tmp_path, code, settings=settings) == {("OFF103", severity)}


def test_threads_of_a_loop_end_with_it(tmp_path: Path) -> None:
    code = (
        "def load():\n    return Order.objects.count()\n\nasync def work():\n"
        "    return await asyncio.to_thread(load)\n\n"
    )
    shared = "async def view(request):\n    return await work()\n"
    own = "def view(request):\n    return asyncio.run(work())\n"
    assert ("OFF507", "warning") in numbers(tmp_path / "shared", code + shared)
    assert "OFF507" not in {rule for rule, _ in numbers(tmp_path / "own", code + own)}

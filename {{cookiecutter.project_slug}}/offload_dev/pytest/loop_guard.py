"""A pytest plugin: a test fails if it blocks the event loop or leaves something running.

Switch it on in conftest.py: `pytest_plugins = ["offload_dev.pytest.loop_guard"]`. The failure names
the line, also where the code has caught the error. Only `@pytest.mark.offload_allow(reason="…")`
lets a test block or leak.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Generator, Iterator
from contextlib import contextmanager
from functools import wraps
from inspect import iscoroutinefunction
from typing import Any

import pytest
from django.core.signals import setting_changed
from django.urls import get_resolver

from offload.guard.runtime.block_log import Block
from offload.guard.runtime.watchdog import Watchdog
from offload_dev.pytest import (
    eager_tasks,
    kept_connections,
    leaks,
    loop_ends,
    request_starts,
    transactions,
    waits,
)
from offload_dev.pytest.blocking_calls import record_blocking_calls

# A test may keep its loop so long, by the loop's own time. It is a tenth of what a person notices,
# and ten times what a slow callback takes.
BLOCK_THRESHOLD_SECONDS = 0.05
# How many functions are named that made a coroutine which was never awaited.
COROUTINE_ORIGIN_DEPTH = 5
# An async test's queries run in other threads. The transaction that pytest-django opens by default
# is of the main thread: they do not see it, and on SQLite they wait for its lock until they fail.
IN_TRANSACTION = (
    "an async test queries in other threads, which do not see the transaction of this test: "
    "write @pytest.mark.django_db(transaction=True), or use the fixture transactional_db"
)
# Fixtures of pytest-django that give a test its tables without a transaction around it.
WITHOUT_TRANSACTION = {"transactional_db", "django_db_reset_sequences", "live_server"}
# The threads and clients that a test has made.
MADE = pytest.StashKey[list[leaks.Made]]()
WARNINGS_THAT_FAIL = (
    "error:coroutine .* was never awaited:RuntimeWarning",
    "error::pytest.PytestUnraisableExceptionWarning",
    "error:StreamingHttpResponse must consume synchronous iterators:Warning",
)


def pytest_configure(config: pytest.Config) -> None:
    """Turn warnings about lost coroutines and sync streams into errors."""
    config.addinivalue_line(
        "markers", "offload_allow(reason): let this test block the loop or leak, and say why."
    )
    for warning in WARNINGS_THAT_FAIL:
        config.addinivalue_line("filterwarnings", warning)
    sys.set_coroutine_origin_tracking_depth(COROUTINE_ORIGIN_DEPTH)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse `offload_allow` without a reason."""
    for item in items:
        marker = item.get_closest_marker("offload_allow")
        if marker is not None and not marker.kwargs.get("reason"):
            raise pytest.UsageError(f'{item.nodeid}: write @pytest.mark.offload_allow(reason="…")')


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Fail an async test that would wait for its own transaction."""
    if _is_async(item) and _has_transaction(item):
        pytest.fail(IN_TRANSACTION, pytrace=False)


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(
    fixturedef: pytest.FixtureDef[Any],
) -> Generator[None, object, object]:
    """Close the connections of other threads before the test database is dropped."""
    result = yield
    if fixturedef.argname == "django_db_setup":
        # What is added last is called first.
        fixturedef.addfinalizer(kept_connections.close)
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Run one test, and fail it with one sentence for each block and each leak."""
    if item.get_closest_marker("offload_allow"):
        return (yield)

    found: list[str] = []
    made = item.stash.setdefault(MADE, [])
    if isinstance(item, pytest.Function) and _is_async(item):
        item.obj = _watched(item.obj, found)

    with (
        _prepared_async_client(item),
        leaks.note_threads_and_clients(made),
        loop_ends.note_connections(),
        loop_ends.find_open_connections(found),
        loop_ends.find_cancelled_tasks(found),
        request_starts.find_starts(found),
        eager_tasks.find_faults(found),
        transactions.find_misuse(found),
        waits.find_unlimited(found),
        record_blocking_calls() as blocked,
    ):
        try:
            result = yield
        except Exception as error:
            for sentence in [*blocked, *found]:
                error.add_note(sentence)
            raise

    if sentences := [*blocked, *found]:
        pytest.fail("\n".join(sentences), pytrace=False)
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, object, object]:
    """Fail a test that leaves connections, threads or clients open: fixtures had their chance."""
    found: list[str] = []
    with loop_ends.find_open_connections(found):
        result = yield
    found += leaks.still_open(item.stash.get(MADE, []))
    if found and not item.get_closest_marker("offload_allow"):
        pytest.fail("\n".join(found), pytrace=False)
    return result


def _is_async(item: pytest.Item) -> bool:
    return isinstance(item, pytest.Function) and iscoroutinefunction(item.obj)


def _has_transaction(item: pytest.Item) -> bool:
    """Whether pytest-django opens a transaction around this test."""
    fixtures = set(getattr(item, "fixturenames", ()))
    marker = item.get_closest_marker("django_db")
    if fixtures & WITHOUT_TRANSACTION or (marker and _wants_none(marker)):
        return False
    return marker is not None or "db" in fixtures


def _wants_none(marker: pytest.Mark) -> bool:
    """Whether it is `django_db(transaction=True)`; the argument may be the first one, too."""
    return bool(marker.kwargs.get("transaction") or any(marker.args[:1]))


@contextmanager
def _prepared_async_client(item: pytest.Item) -> Iterator[None]:
    """Load middleware and URLs before the test's loop runs, as a server does at its start.

    A test that sets other middleware gets it.
    """
    client: Any = item.funcargs.get("async_client") if isinstance(item, pytest.Function) else None
    if client is None:
        yield
        return

    def forget_middleware(*, setting: str, **_: object) -> None:
        if setting == "MIDDLEWARE":
            client.handler._middleware_chain = None  # noqa: SLF001 - Django loads it if it is None

    client.handler.load_middleware(is_async=True)
    # This check loads and compiles all URLs.
    get_resolver().check()
    setting_changed.connect(forget_middleware)
    try:
        yield
    finally:
        setting_changed.disconnect(forget_middleware)


def _watched(
    test: Callable[..., Awaitable[object]], found: list[str]
) -> Callable[..., Awaitable[object]]:
    """The test with a watchdog on its loop. What the watchdog sees is added to `found`."""

    def report(block: Block) -> None:
        if not block.excused:
            found.append(str(block))

    @wraps(test)
    async def watched(*args: Any, **kwargs: Any) -> object:
        tasks_before = asyncio.all_tasks()
        watchdog = Watchdog(
            asyncio.get_running_loop(), threshold=BLOCK_THRESHOLD_SECONDS, report=report
        )
        watchdog.start()
        try:
            return await test(*args, **kwargs)
        finally:
            await watchdog.stop()
            found.extend(await leaks.find_tasks(tasks_before))

    return watched

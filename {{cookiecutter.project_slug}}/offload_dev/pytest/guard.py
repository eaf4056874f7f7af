"""The tested net as a pytest plugin (`-p offload_dev.pytest.guard`): a test that blocks the event
loop, or leaks, fails.

It fails with the line that did it, even where the code swallowed the error. The only way out of it
is `@pytest.mark.offload_allow(reason="…")`.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Generator
from functools import wraps
from inspect import iscoroutinefunction
from typing import Any

import pytest
from django.urls import get_resolver

from offload.guard.runtime.watchdog import Block, Watchdog
from offload_dev.pytest import leaks
from offload_dev.pytest.blocking import recording

# Seconds of the loop's own time: a tenth of what a person notices, and ten times a slow callback.
BUSY = 0.05
FAULTS = (
    "error:coroutine .* was never awaited:RuntimeWarning",
    "error::pytest.PytestUnraisableExceptionWarning",
    "error:StreamingHttpResponse must consume synchronous iterators:Warning",
)


def pytest_configure(config: pytest.Config) -> None:
    """Warnings about lost coroutines and sync streams become errors, and name where the coroutine
    was made.
    """
    config.addinivalue_line(
        "markers", "offload_allow(reason): let this test block the loop or leak, and say why."
    )
    for fault in FAULTS:
        config.addinivalue_line("filterwarnings", fault)
    sys.set_coroutine_origin_tracking_depth(5)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A way out without a reason is none."""
    for item in items:
        marker = item.get_closest_marker("offload_allow")
        if marker is not None and not marker.kwargs.get("reason"):
            raise pytest.UsageError(f'{item.nodeid}: write @pytest.mark.offload_allow(reason="…")')


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Run one test inside the net."""
    if item.get_closest_marker("offload_allow"):
        return (yield)
    client: Any = item.funcargs.get("async_client") if isinstance(item, pytest.Function) else None
    # Made ready before its loop, as a server is at its start.
    if client is not None:
        client.handler.load_middleware(is_async=True)
        # Loads and compiles all addresses.
        get_resolver().check()
    found: list[str] = []
    if isinstance(item, pytest.Function) and iscoroutinefunction(item.obj):
        item.obj = _watched(item.obj, found)
    with leaks.threads_and_clients() as left, recording() as blocked:
        try:
            result = yield
        except Exception as error:
            for sentence in [*blocked, *found]:
                error.add_note(sentence)
            raise
    if sentences := [*blocked, *found, *left()]:
        pytest.fail("\n".join(sentences), pytrace=False)
    return result


def _watched(
    test: Callable[..., Awaitable[object]], found: list[str]
) -> Callable[..., Awaitable[object]]:
    """The test, with a watchdog on its own loop; what it finds is added to `found`."""

    def report(block: Block) -> None:
        if not block.excused:
            found.append(str(block))

    @wraps(test)
    async def watched(*args: Any, **kwargs: Any) -> object:
        before = asyncio.all_tasks()
        watchdog = Watchdog(asyncio.get_running_loop(), threshold=BUSY, report=report)
        watchdog.start()
        try:
            return await test(*args, **kwargs)
        finally:
            await watchdog.stop()
            found.extend(await leaks.tasks(before))

    return watched

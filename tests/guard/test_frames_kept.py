"""What looks at stacks keeps nothing of them: no request, no body, no socket of any thread."""

import asyncio
import gc
import threading
from collections.abc import Callable, Iterator
from typing import Any
from weakref import ref

import pytest
from asgiref.sync import sync_to_async
from django.test import RequestFactory

from offload.guard.runtime import slow_requests, stack_dump

THRESHOLD = 0.05


@pytest.fixture(autouse=True)
def no_collector() -> Iterator[None]:
    """What waits for the garbage collector may wait for minutes in a web process."""
    gc.disable()
    yield
    gc.enable()


class Held:
    """A body, a socket: whatever the variable of a function holds."""


@pytest.mark.parametrize(
    "look",
    [
        lambda: slow_requests._calls_in_threads(),
        lambda: stack_dump.describe_threads(),
    ],
)
def test_the_variables_of_a_thread_end_with_it(look: Callable[[], Any]) -> None:
    looked, looking, held = threading.Event(), threading.Event(), []

    def work() -> None:
        value = Held()
        held.append(ref(value))
        looking.set()
        looked.wait()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    looking.wait()
    look()
    looked.set()
    thread.join()
    assert held[0]() is None


async def test_a_slow_request_and_its_thread_end_with_its_answer(
    caplog: pytest.LogCaptureFixture,
) -> None:
    answered, held = threading.Event(), []

    def call() -> None:
        value = Held()
        held.append(ref(value))
        answered.wait()

    async def view(request: Any) -> None:
        held.append(ref(request))
        await sync_to_async(call)()

    slow = asyncio.create_task(view(RequestFactory().get("/slow")))
    log = asyncio.create_task(slow_requests.log_slow_requests(THRESHOLD))
    for _ in range(400):
        if "/slow has no answer" in caplog.text:
            break
        await asyncio.sleep(THRESHOLD)
    assert "/slow has no answer" in caplog.text
    answered.set()
    await slow
    del slow
    # Nothing else is slow, so that no later look replaces what this one has found.
    await asyncio.sleep(2 * THRESHOLD)
    assert [each() for each in held] == [None, None]
    log.cancel()
    await asyncio.wait([log])

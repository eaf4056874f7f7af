"""Cancels a view whose client has left, at no cost to the views that never wait."""

import asyncio
import types
from collections.abc import Coroutine, Generator
from functools import partial
from typing import Any

from offload.serving.types import Receive


@types.coroutine
def until_disconnect(
    work: Coroutine[Any, Any, None], receive: Receive
) -> Generator[Any, Any, None]:
    """Run `work`, and cancel it if the client leaves. Most requests never wait, and so nobody need
    watch for them.
    """
    # Found where it is needed: to ask is a system call before Python 3.12.
    task: asyncio.Task[Any] | None = None
    gone = False

    async def watch() -> None:
        nonlocal gone
        while (await receive())["type"] != "http.disconnect":
            pass
        gone = True
        if task is not None:
            task.cancel()

    watcher: asyncio.Task[None] | None = None
    step = resume = partial(work.send, None)
    try:
        while True:
            waits_for = step()
            if watcher is None:
                task = asyncio.current_task()
                watcher = asyncio.create_task(watch())
            try:
                yield waits_for
                step = resume
            except BaseException as error:
                step = partial(work.throw, error)
    except StopIteration:
        pass
    except asyncio.CancelledError:
        if not gone:
            raise
    finally:
        # An error in it would hold this frame, and so a half-read generator, until the collector
        # runs.
        step = resume
        # There is one where there is a watcher.
        if gone and task is not None:
            task.uncancel()
        elif watcher is not None:
            # The watcher may be about to hear of the client, and what the task does now is not for
            # it.
            task = None
            watcher.cancel()

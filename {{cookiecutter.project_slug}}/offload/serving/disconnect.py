"""Notices that a client left before its response was complete, and cancels the view.

A view that never waits pays nothing for it.
"""

import asyncio
import types
from collections.abc import Coroutine, Generator
from functools import partial
from typing import Any

from offload.serving import metrics
from offload.serving.request_state import REQUEST_STATE, RequestState
from offload.serving.types import ASGIApp, Message, Receive, Scope, Send


class ClientDisconnect:
    """Records in the request's state how far the response is, and whether the client left.

    The handler receives `http.disconnect` and cancels the view (`cancel_on_disconnect`).
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        state: RequestState = scope[REQUEST_STATE]

        async def watched_receive() -> Message:
            message = await receive()
            if message["type"] == "http.disconnect" and not state.response_complete:
                state.client_disconnected = True
            return message

        async def watched_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                state.response_started = True
            elif not message.get("more_body", False):
                state.response_complete = True
            await send(message)

        try:
            await self.app(scope, watched_receive, watched_send)
        finally:
            if state.client_disconnected:
                metrics.DISCONNECTS.inc()


@types.coroutine
def cancel_on_disconnect(
    work: Coroutine[Any, Any, None], receive: Receive
) -> Generator[Any, Any, None]:
    """Run `work` in the current task, and cancel the task if `receive` says `http.disconnect`.

    This is a coroutine that drives `work` step by step, because it has to know whether `work`
    waits at all: only then it starts a second task, which waits for the client to leave. Most
    requests need no second task (Django starts one for each request).

    Args:
        work: what answers the request.
        receive: the `receive` of the request, whose body has been read.
    """
    watch: _DisconnectWatch | None = None
    step = resume = partial(work.send, None)
    try:
        while True:
            waits_for = step()
            if watch is None:
                watch = _DisconnectWatch(receive)
            try:
                yield waits_for
                step = resume
            except BaseException as error:
                step = partial(work.throw, error)
    except StopIteration:
        # `work` has returned.
        pass
    except asyncio.CancelledError:
        if watch is None or not watch.client_left:
            raise
    finally:
        # An error kept in `step` would keep this frame alive, and so a generator that is read
        # halfway, until the garbage collector runs.
        step = resume
        if watch is not None:
            watch.end()


class _DisconnectWatch:
    """The task that waits for the client to leave, and cancels the task of the request."""

    def __init__(self, receive: Receive) -> None:
        self.client_left = False
        self._receive = receive
        # Looked up where a request waits, and not before: that is a system call before Python 3.12.
        self._request_task = asyncio.current_task()
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        try:
            while (await self._receive())["type"] != "http.disconnect":
                pass
        except asyncio.CancelledError:
            # By `end`. A cancelled task keeps its error, and this one's leads back to the task: all
            # that the request has would live until the garbage collector comes.
            return
        self.client_left = True
        if self._request_task is not None:
            self._request_task.cancel()

    def end(self) -> None:
        """The work is done: nothing is cancelled from now on."""
        request_task, self._request_task = self._request_task, None
        if self.client_left and request_task is not None:
            request_task.uncancel()
        elif not self.client_left:
            # The watch may receive `http.disconnect` any moment. It must not cancel what the task
            # of the request does next.
            self._task.cancel()

"""The layers of a request's body: how large it may be, how slow, and when it is handed over.

They wrap `receive` only where there may be one. Other requests pass without a coroutine (0.2 us).
"""

import asyncio
from collections.abc import Awaitable, Iterable, Mapping
from time import perf_counter

from offload.problems import Problem
from offload.serving.paths import PathPrefixes
from offload.serving.request_state import REQUEST_STATE, RequestState
from offload.serving.sweeps import Sweeps
from offload.serving.types import ASGIApp, Message, Receive, Scope, Send

# What Django takes for a form in one line has this in its type, whatever else is around it.
FORM_TYPE = b"x-www-form-urlencoded"
ADVICE = "Send less, or in parts."
# Browsers send a form so unless it says `enctype="multipart/form-data"`.
FORM_ADVICE = "Send the form as multipart/form-data, which may be larger, or send less."
# A body of JSON that is larger waits for its turn. The worst 64 kB are parsed in 2 ms, and the
# worst megabyte in 35 ms (350,000 empty lists; two shared cores, Python 3.11).
LARGE_BYTES = 64 * 1024


class BodyLimit:
    """Refuses a body that is too large for its path or its type, and any body of a probe.

    Two cases: 1. `Content-Length` says it: the request is refused before its body is read. 2. The
    length is not announced: the request is refused at the first piece that exceeds the limit.

    Args:
        max_bytes: by the beginning of the path, as in `PathPrefixes`. The longest one holds.
        default_max_bytes: for all other paths.
        form_max_bytes: for a form in one line, on any path.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        max_bytes: Mapping[str, int],
        default_max_bytes: int,
        form_max_bytes: int,
    ) -> None:
        self.app = app
        self.default_max_bytes = default_max_bytes
        self.form_max_bytes = form_max_bytes
        longest_first = sorted(max_bytes.items(), key=lambda item: len(item[0]), reverse=True)
        self.max_bytes = tuple((PathPrefixes([path]), limit) for path, limit in longest_first)

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Serve one request.

        Raises:
            Problem: 413, at once or from the `receive` that the handler is given.
        """
        state: RequestState = scope[REQUEST_STATE]
        if state.has_body:
            max_bytes = 0 if state.is_probe else self._max_bytes(state.path)
            advice = ADVICE
            if max_bytes > self.form_max_bytes and _is_form(scope["headers"]):
                max_bytes, advice = self.form_max_bytes, FORM_ADVICE
            announced = int(state.headers.get(b"content-length", 0))
            if announced > max_bytes or (state.is_probe and b"transfer-encoding" in state.headers):
                raise body_too_large(max_bytes, advice)
            receive = _counted(receive, max_bytes, advice)
        return self.app(scope, receive, send)

    def _max_bytes(self, path: str) -> int:
        for paths, max_bytes in self.max_bytes:
            if paths.match(path):
                return max_bytes
        return self.default_max_bytes


def _is_form(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether Django may parse the body as a form in one line. It joins several such headers."""
    return any(name == b"content-type" and FORM_TYPE in value.lower() for name, value in headers)


def _counted(receive: Receive, max_bytes: int, advice: str) -> Receive:
    """A `receive` that counts the bytes of the body."""
    received_bytes = 0

    async def counted_receive() -> Message:
        nonlocal received_bytes
        message = await receive()
        received_bytes += len(message.get("body", b""))
        if received_bytes > max_bytes:
            raise body_too_large(max_bytes, advice)
        return message

    return counted_receive


def body_too_large(max_bytes: int, advice: str) -> Problem:
    """The answer to a body of more than `max_bytes`, with the advice what to send instead."""
    if not max_bytes:
        return Problem(413, "A request to this address has no body: send it without one.")
    return Problem(413, f"The request body is larger than {max_bytes} bytes. {advice}")


class BodyTimeout:
    """Answers 408 to a body that is late: Apache's rule (`RequestReadTimeout body=20,MinRate=500`).

    A body may take `seconds`, and a second more for every `min_rate` bytes of it that arrived.

    Args:
        min_rate: in bytes a second.
    """

    def __init__(self, sweeps: Sweeps, app: ASGIApp, *, seconds: float, min_rate: int) -> None:
        self.app = app
        self.seconds = seconds
        self.min_rate = min_rate
        # By request when its body has to be complete (`perf_counter`).
        self._ends: dict[RequestState, float] = {}
        sweeps.add(self._check)

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Serve one request."""
        state: RequestState = scope[REQUEST_STATE]
        if not state.has_body:
            return self.app(scope, receive, send)
        return self._serve(state, scope, receive, send)

    async def _serve(self, state: RequestState, scope: Scope, receive: Receive, send: Send) -> None:
        async def timed_receive() -> Message:
            message = await receive()
            if message.get("more_body", False):
                self._ends[state] += len(message["body"]) / self.min_rate
            else:
                self._ends.pop(state, None)
            return message

        self._ends[state] = perf_counter() + self.seconds
        try:
            await self.app(scope, timed_receive, send)
        finally:
            self._ends.pop(state, None)

    def _check(self, now: float) -> None:
        late = [state for state, end in self._ends.items() if now > end]
        for state in late:
            state.end_early(
                Problem(
                    408,
                    f"The request's body took longer than {self.seconds:g} s, and came with less "
                    f"than {self.min_rate} bytes a second. Send it faster, or in parts.",
                )
            )


class LargeBodies:
    """Hands one large body to its handler in each iteration of the event loop.

    A parser does not let go of the loop, and a thread would not help, since it holds the GIL. Ten
    large bodies that arrive together would stop the loop ten times as long as one.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._turn = asyncio.Lock()

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Serve one request."""
        state: RequestState = scope[REQUEST_STATE]
        return self.app(scope, self._in_turn(receive) if state.has_body else receive, send)

    def _in_turn(self, receive: Receive) -> Receive:
        """A `receive` that waits before it gives the last piece of a large body."""
        received_bytes = 0

        async def receive_in_turn() -> Message:
            nonlocal received_bytes
            message = await receive()
            received_bytes += len(message.get("body", b""))
            if received_bytes > LARGE_BYTES and not message.get("more_body", False):
                received_bytes = 0
                await self._wait_for_turn()
            return message

        return receive_in_turn

    async def _wait_for_turn(self) -> None:
        async with self._turn:
            # The body before this one is parsed in this iteration.
            await asyncio.sleep(0)

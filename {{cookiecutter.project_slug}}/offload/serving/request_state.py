"""What the layers of one request tell each other, kept under one key of the ASGI scope."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from django.core.handlers.asgi import get_script_prefix
from django.http import HttpRequest

from offload.problems import Problem
from offload.serving.paths import PathPrefixes
from offload.serving.types import Scope

# The key of the scope. Layers read `scope[REQUEST_STATE]`; Django code calls `state_of(request)`.
REQUEST_STATE = "offload.request"


@dataclass(slots=True, eq=False)
class RequestState:
    """One HTTP request, from its head to the end of its response.

    Attributes:
        script_prefix: the path under which the service is mounted, such as `/app`; mostly empty.
        path: the decoded path below the prefix.
        headers: by lower-case name; of several headers of one name the last.
        is_probe: whether the path is one of `Offload.probe_prefixes`.
        has_body: whether the request may have a body. A layer needs no `receive` of its own if
            there is none.
        response_started: set by `ClientDisconnect`.
        response_complete: set by `ClientDisconnect`.
        client_disconnected: set by `ClientDisconnect`: the client left before its response was
            complete.
        task: what answers the request.
        is_recorded: set by the middleware that has logged and counted a request that is cancelled.
        early_end: set by `end_early`: the problem that is answered.
        is_event_stream: set by `declare_event_stream`.
        wake: ends a wait that was declared with `declare_wait`; None for any other request.
        on_event_stream: called when the response turns out to be an event stream. Each layer that
            treats streams differently adds its function. A function may raise a `Problem`.
    """

    script_prefix: str
    path: str
    headers: dict[bytes, bytes]
    is_probe: bool
    has_body: bool
    response_started: bool = False
    response_complete: bool = False
    client_disconnected: bool = False
    task: "asyncio.Task[Any] | None" = None
    is_recorded: bool = False
    early_end: Problem | None = None
    is_event_stream: bool = False
    wake: Callable[[], None] | None = None
    on_event_stream: list[Callable[["RequestState"], None]] = field(default_factory=list)

    def declare_event_stream(self) -> None:
        """Tell the layers that the response is an event stream. A second call does nothing.

        Raises:
            Problem: 503, there are too many streams.
        """
        if self.is_event_stream:
            return

        for tell in self.on_event_stream:
            tell(self)
        self.is_event_stream = True

    def declare_wait(self, wake: Callable[[], None]) -> None:
        """Tell the layers that the view waits before it answers, for example in a long poll.

        The request counts as an event stream from now on. `wake` is called at a stop: the view then
        answers what it has.

        Raises:
            Problem: 503, there are too many streams.
        """
        self.wake = wake
        self.declare_event_stream()

    def end_early(self, problem: Problem) -> None:
        """Cancel the request and answer with this problem, unless its response has started.

        A second call does nothing.
        """
        if self.early_end is None and not self.response_started and self.task is not None:
            self.early_end = problem
            self.task.cancel()

    def accept_early_end(self) -> None:
        """Catch the cancellation of `end_early`: the task goes on, to send the answer."""
        if self.task is not None:
            self.task.uncancel()


def new_request_state(scope: Scope, probes: PathPrefixes) -> RequestState:
    """The state of a request that begins."""
    script_prefix = get_script_prefix(scope)
    path = scope["path"].removeprefix(script_prefix)
    headers = dict(scope["headers"])
    return RequestState(
        script_prefix=script_prefix,
        path=path,
        headers=headers,
        is_probe=probes.match(path),
        has_body=_may_have_body(scope, headers),
    )


def state_of(request: HttpRequest) -> RequestState | None:
    """The state of a Django request; None for a request that a test made."""
    found: RequestState | None = getattr(request, "scope", {}).get(REQUEST_STATE)
    return found


def _may_have_body(scope: Scope, headers: dict[bytes, bytes]) -> bool:
    """Whether a body may follow the head.

    HTTP/1 announces every body in the head (RFC 9112 section 6.3); HTTP/2 need not.
    """
    if scope["http_version"] not in ("1.0", "1.1"):
        return True
    return headers.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in headers

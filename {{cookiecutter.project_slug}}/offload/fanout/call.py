"""Calls as a feature describes them (`Call`), and makes them: one by `await`, many by `gather`."""

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Generator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from math import inf
from time import monotonic
from typing import Any, Generic, TypeVar, cast

from pydantic import TypeAdapter

from offload.serving import release

from .client import ClientHolder
from .context import CANCEL_SECONDS
from .deadline import deadline, latest_end
from .http import httpx
from .limits import CallLimits
from .outcome import Outcome, Outcomes
from .pending_call import PendingCall
from .propagation import propagated_headers
from .raw_response import RawResponse
from .request import Headers, UpstreamRequest
from .single_flight import leave

T = TypeVar("T")
U = TypeVar("U")

# After this time the loop serves others, and then the next response is read.
READ_SECONDS = 0.002
# asyncio takes tasks and coroutines. A call is neither: no caller has asked for it yet.
NOT_FOR_ASYNCIO = (
    "A call is not sent until it is awaited. asyncio.gather, asyncio.wait and create_task cannot "
    'take it: write `await gather({"name": call})` with the gather of offload.fanout, or `await '
    "call`. A task of its own takes `call.outcome()`."
)


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One request to one upstream, and how its response is read. Nothing is sent yet.

    Made by `Upstream.get_json` and its like. `gather` makes many calls at once; `await call` makes
    one and raises if it fails.
    """

    holder: ClientHolder
    request: UpstreamRequest
    # Reads the value out of a 2xx response; a `ValueError` is a response that cannot be read.
    decode: Callable[[RawResponse], T]
    # Where this call has other limits than its upstream.
    limits: CallLimits | None = None

    def __hash__(self) -> int:
        """Refuse what asyncio does first with its arguments; its own error would not say why."""
        raise TypeError(NOT_FOR_ASYNCIO)

    def __repr__(self) -> str:
        """What the error of `create_task` shows, and so what to write instead. Without the query.

        The query may hold a secret.
        """
        request = self.request
        return (
            f"a call of upstream {self.holder.upstream!r} ({request.method} {request.url.path}). "
            f"{NOT_FOR_ASYNCIO}"
        )

    def with_limits(
        self,
        *,
        timeout: float | None = None,
        attempt_timeout: float | None = None,
        attempts: int | None = None,
        max_bytes: int | None = None,
        skip_cache: bool = False,
    ) -> "Call[T]":
        """The same call with limits of its own; what is `None` stays the upstream's.

        Args:
            timeout: seconds for the call with all its retries.
            attempt_timeout: seconds for one request.
            attempts: requests, the first one included.
            max_bytes: of the decoded body.
            skip_cache: asks the upstream though a fresh response is kept. The new one is kept.
        """
        limits = CallLimits(
            timeout=timeout,
            attempt_timeout=attempt_timeout,
            attempts=attempts,
            max_bytes=max_bytes,
            skip_cache=skip_cache,
        )
        return replace(self, limits=limits)

    def read(self, reader: Callable[[httpx.Response], U]) -> "Call[U]":
        """The same call, its value read by `reader`, which may raise `ValueError`.

        A `ValueError` becomes an outcome with the status `error`.
        """
        return self._with(lambda raw: reader(raw.response()))

    def into(self, model: type[U]) -> "Call[U]":
        """The same call, its JSON validated as `model`.

        Args:
            model: a pydantic model, a dataclass, `list[Price]`: any type that pydantic validates.
        """
        adapter: TypeAdapter[U] = _adapter(model)
        return self._with(lambda raw: adapter.validate_json(raw.json))

    def _with(self, decode: Callable[[RawResponse], U]) -> "Call[U]":
        return cast("Call[U]", replace(self, decode=cast(Any, decode)))

    async def outcome(self) -> Outcome[T]:
        """Make the call and return its outcome. Raises only mistakes in the calling code."""
        await release()
        name = self.holder.upstream
        return (await run_calls({name: self}))[name]

    def start(self, propagated: Headers) -> PendingCall[T]:
        """Start the call for one caller, with these headers besides its own."""
        client = self.holder.get()
        return PendingCall(client, self.request, self.decode, self.limits, propagated)

    def __await__(self) -> Generator[Any, None, T]:
        """Make the call and return its value.

        Raises a `Problem` with the status 502, 503 or 504 if the call fails.
        """
        return self._value().__await__()

    async def _value(self) -> T:
        await release()
        name = self.holder.upstream
        outcomes = await run_calls({name: self}, required=[name])
        return cast(T, outcomes[name].value)


# The validator of a model is built once.
_adapter: Callable[[Any], TypeAdapter[Any]] = cache(TypeAdapter)


async def gather(
    calls: Mapping[str, Call[Any]],
    *,
    required: Collection[str] = (),
    within: float = inf,
    limit: float = inf,
) -> Outcomes:
    """Make the calls side by side and return an outcome for each.

    Args:
        calls: what to ask, by source name: `{"northbank": northbank.get_json("/prices")}`.
        required: sources without which there is no answer. The first of them that fails ends the
            whole gather: calls still under way are cancelled, and a `Problem` is raised: 504 if
            the source came too late, 503 if it can be asked again soon, 502 otherwise. It lists
            the sources that were over by then.
        within: seconds for all calls together; the request's own deadline holds, too.
        limit: calls under way at one time. Without it all calls start at once, and one upstream
            refuses those beyond `max_in_flight` and `max_waiting` (64 and 64) with `rejected`.
    """
    _check_calls(calls)
    if limit < 1:
        raise ValueError(f"limit has to be 1 or more, and is {limit}")

    unknown = set(required) - set(calls)
    if unknown:
        raise ValueError(
            f"required names sources that are not called: {', '.join(sorted(unknown))}"
        )

    await release()
    with deadline(within):
        return await run_calls(calls, required, limit)


def _check_calls(calls: Mapping[str, Call[Any]]) -> None:
    """Refuse what is no call by its source name, with a sentence that says what to write."""
    if not isinstance(calls, Mapping):
        raise TypeError(
            'gather takes the calls by the names of their sources: `gather({"name": call})`, and '
            f"got a {type(calls).__name__}."
        )

    for name, call in calls.items():
        if not isinstance(call, Call):
            raise TypeError(
                f"{name!r} in gather is a {type(call).__name__}, and no call of an Upstream, such "
                "as `upstream.get_json(path)`. Coroutines of your own belong in an "
                "asyncio.TaskGroup."
            )


async def run_calls(
    calls: Mapping[str, Call[Any]], required: Collection[str] = (), limit: float = inf
) -> Outcomes:
    """Make these calls side by side, until the context's deadline at most; see `gather`.

    When this returns or raises, none of the calls is still under way for this caller.
    """
    ends_at, propagated = latest_end(), propagated_headers()
    waiting = deque(calls.items())
    started: dict[str, PendingCall[Any]] = {}
    pending: dict[str, PendingCall[Any]] = {}
    outcomes = Outcomes()
    try:
        while waiting or pending:
            while waiting and len(pending) < limit:
                name, call = waiting.popleft()
                started[name] = pending[name] = call.start(propagated)

            # The end of one call may end the gather, or let a waiting call start.
            each_end_counts = required or waiting
            over = await _wait(
                pending,
                ends_at,
                asyncio.FIRST_COMPLETED if each_end_counts else asyncio.ALL_COMPLETED,
            )
            await _read(over, pending, outcomes)
            outcomes.require([name for name in over if name in required])
    finally:
        await leave([each.shared for each in started.values() if each.shared])

    # In the order of the calls, and not in that in which they ended.
    return Outcomes((name, outcomes[name]) for name in calls)


async def _read(over: list[str], pending: dict[str, PendingCall[Any]], into: Outcomes) -> None:
    """Move the calls that are over from `pending` to their outcomes, in turns with other requests.

    To read the JSON of a megabyte takes 10 ms, and a gather may have waited for fifty of them.
    """
    until = monotonic() + READ_SECONDS
    for name in over:
        into[name] = pending.pop(name).outcome()
        if monotonic() > until:
            await asyncio.sleep(0)
            until = monotonic() + READ_SECONDS


async def _wait(
    pending: Mapping[str, PendingCall[Any]], ends_at: float, return_when: str
) -> list[str]:
    """Wait for some of the calls, or for the deadline. Returns the names of those that are over."""
    under_way = [call.shared for call in pending.values() if call.shared]
    if not under_way:
        return list(pending)

    # A call ends by itself in its time, unless its transport does not end when it is cancelled.
    last_end = max([shared.context.ends_at for shared in under_way]) + CANCEL_SECONDS
    timeout = min(ends_at, last_end) - monotonic()
    tasks = {shared.task for shared in under_way}
    done, _ = await asyncio.wait(tasks, timeout=timeout, return_when=return_when)
    if not done:
        # The time has passed: for this caller, all calls are over.
        return list(pending)
    return [name for name, call in pending.items() if not call.shared or call.shared.task in done]

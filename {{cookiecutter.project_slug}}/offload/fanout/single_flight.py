"""Single flight: equal reads that are made at the same time share one call."""

import asyncio
from collections.abc import Callable, Hashable, Iterable
from contextvars import Context
from dataclasses import dataclass
from time import monotonic

from .context import CANCEL_SECONDS, CallContext, Strategy
from .errors import FAILURES, DeadlineExceeded, without_frames
from .raw_response import RawResponse

# A caller joins a call under way if it ends no sooner than after this share of the caller's time.
JOINED_TIME_SHARE = 0.5

CallTask = asyncio.Task[RawResponse | Exception]


@dataclass(slots=True, eq=False)
class SharedCall:
    """A call under way, in a task of its own, and the number of callers that wait for it.

    The call belongs to none of its callers: it goes on when the first one leaves, and is cancelled
    when the last one does. A call that cannot be shared has one caller.
    """

    single_flight: "SingleFlight"
    key: Hashable | None
    context: CallContext[RawResponse]
    task: CallTask
    callers: int = 0


class SingleFlight:
    """The calls to one upstream that further callers may join.

    Args:
        pipeline: what every call passes through, once for all who share it.
        after_write: called at the end of every write, successful or not.
    """

    def __init__(self, pipeline: Strategy, after_write: Callable[[], None]) -> None:
        self._pipeline = pipeline
        self._after_write = after_write
        self._joinable: dict[Hashable, SharedCall] = {}
        # Cancelled calls that have not ended. Each holds its slot of the bulkhead.
        self.ending: set[CallTask] = set()

    def join_or_start(self, key: Hashable | None, context: CallContext[RawResponse]) -> SharedCall:
        """Join the call under way that has this key, or start one. The caller has to `leave` it.

        Args:
            key: everything the response depends on, the caller's identity included; a call whose
                key is `None` is never shared.
            context: the context of the call, if it has to be started.
        """
        shared = self._joinable.get(key) if key else None
        if shared is None or not _worth_joining(shared.context, context):
            shared = self._start(key, context)
        shared.callers += 1
        if context.wanted_until > shared.context.wanted_until:
            shared.context.wanted_until = context.wanted_until
            shared.context.end_is_asked = context.end_is_asked
        return shared

    def _start(self, key: Hashable | None, context: CallContext[RawResponse]) -> SharedCall:
        # A shared call must not see the context variables of the caller that happened to be first.
        variables = Context() if key else None
        task = asyncio.get_running_loop().create_task(self._run(key, context), context=variables)
        shared = SharedCall(self, key, context, task)
        if key:
            self._joinable[key] = shared
        return shared

    async def _run(
        self, key: Hashable | None, context: CallContext[RawResponse]
    ) -> RawResponse | Exception:
        """Send a call through the pipeline. Its failure is returned, for all who share the call."""
        try:
            return await self._pipeline(context)
        except FAILURES as error:
            return without_frames(error)
        except asyncio.CancelledError:
            # All callers have left. A cancelled task would keep this error, and so its frames.
            return DeadlineExceeded("Nobody waits for the response any more.")
        finally:
            context.close()
            context.finished_at = monotonic()
            if key:
                self.forget(key, context)
            elif context.request.is_write:
                self.forget_all()
                self._after_write()

    def forget(self, key: Hashable | None, context: CallContext[RawResponse]) -> None:
        """Let no further caller join the call with this key and this context."""
        # The key is hashed as seldom as can be: it holds a URL and all headers.
        shared = self._joinable.pop(key, None)
        if shared and shared.context is not context:
            # After `forget_all`, another call has the same key.
            self._joinable[key] = shared

    def forget_all(self) -> None:
        """Let no further caller join any call under way.

        Done after a write: a read that began before its end may have seen what was there before.
        """
        self._joinable.clear()


def _worth_joining(started: CallContext[RawResponse], caller: CallContext[RawResponse]) -> bool:
    """Whether a call under way leaves this caller enough of its time: its end is shared, too."""
    now = monotonic()
    return started.ends_at - now >= JOINED_TIME_SHARE * (caller.wanted_until - now)


async def leave(calls: Iterable[SharedCall]) -> None:
    """Leave these calls, and cancel those that no caller waits for any more.

    The connection of a cancelled call is closed when this returns, unless its transport takes
    longer than `CANCEL_SECONDS`.
    """
    cancelled: set[CallTask] = set()
    for shared in calls:
        shared.callers -= 1
        if not shared.callers and not shared.task.done():
            shared.single_flight.forget(shared.key, shared.context)
            shared.task.cancel()
            shared.single_flight.ending.add(shared.task)
            shared.task.add_done_callback(shared.single_flight.ending.discard)
            cancelled.add(shared.task)

    if cancelled:
        await asyncio.wait(cancelled, timeout=CANCEL_SECONDS)

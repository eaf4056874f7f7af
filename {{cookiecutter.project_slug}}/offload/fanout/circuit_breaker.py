"""Circuit breaker: sends nothing to an upstream that mostly fails, until it recovers."""

import asyncio
import logging
from dataclasses import dataclass
from time import monotonic
from typing import Any, Literal

from .context import CallContext, R, Strategy
from .errors import BreakerOpen, DeadlineExceeded, is_out_of_resources
from .http import httpx
from .stalls import Stalls
from .window import Window

CircuitState = Literal["closed", "half-open", "open"]

# An attempt counts as slow after this share of the attempt timeout, unless `slow_after` is set.
SLOW_SHARE_OF_ATTEMPT_TIMEOUT = 0.8
# An attempt that a deadline cuts off is a failure after this many times the upstream's usual time.
CUT_OFF_MULTIPLE = 3.0
# And never before: within less time, not even an upstream in good health has to answer.
CUT_OFF_LEAST_SECONDS = 0.1
# The usual time is a running mean; each good response has this share in it (TCP's RFC 6298: 1/8).
USUAL_SHARE = 0.125
# A timer of uvloop may fire so much before its instant.
TIMER_TOLERANCE_SECONDS = 0.005

logger = logging.getLogger("offload.fanout")


@dataclass(frozen=True, kw_only=True)
class CircuitBreaker:
    """When to stop sending, and when to try again; times are in seconds, names are Polly's.

    What counts as a failure is what the upstream did: a failed connection, a status of 500 or
    above, a timeout, a response slower than `slow_after`. An attempt that a deadline cuts off is a
    failure, too, if it took three times as long as this upstream usually takes (0.1 s at least). A
    caller that leaves counts as nothing: ten closed browser tabs must not cut an upstream off. Time
    in which the event loop stood still is not the upstream's.
    """

    # How far the failure ratio looks back.
    sampling_duration: float = 30.0
    # Attempts in that time before the circuit may open: two failures of three prove nothing.
    minimum_throughput: int = 20
    # Share of failed and slow attempts at which the circuit opens.
    failure_ratio: float = 0.5
    # How long nothing is sent before the first probe.
    break_duration: float = 5.0
    # Attempts let through in the half-open state. The circuit closes when all of them succeed.
    half_open_probes: int = 3
    # `None` is 0.8 of the upstream's attempt timeout.
    slow_after: float | None = None


class Circuit:
    """The state machine.

    closed -> open       the failure ratio was reached
    open -> half-open    the break is over, and an attempt asks to pass
    half-open -> closed  all probes succeeded
    half-open -> open    a probe failed
    """

    def __init__(self, breaker: CircuitBreaker) -> None:
        self.state: CircuitState = "closed"
        self._breaker = breaker
        self._counts = Window(breaker.sampling_duration)
        self._break_ends_at = 0.0
        self._probes_sent = 0
        self._probes_succeeded = 0

    def admit(self) -> float:
        """Let an attempt pass and return its ticket, which `record` takes back once.

        Raises `BreakerOpen` if nothing may be sent now.
        """
        if self.state == "open" and monotonic() >= self._break_ends_at:
            self.state, self._probes_sent, self._probes_succeeded = "half-open", 0, 0

        all_probes_sent = self._probes_sent >= self._breaker.half_open_probes
        if self.state == "open" or (self.state == "half-open" and all_probes_sent):
            raise BreakerOpen(
                "Too many of the last attempts failed or were slow. Nothing is sent to this "
                "upstream until it recovers.",
                # In the half-open state, the probes are under way: they end soon.
                retry_after=max(1.0, self._break_ends_at - monotonic()),
            )

        self._probes_sent += 1
        return self._break_ends_at

    def record(self, ticket: float, good: bool | None) -> None:
        """Count how an admitted attempt went; `None` if it says nothing about the upstream."""
        if ticket != self._break_ends_at:
            # The attempt was admitted before the circuit last opened, and is no probe.
            return

        if self.state == "closed":
            self._count(good)
        elif good is None:
            # Another probe may take the place of this one.
            self._probes_sent -= 1
        elif good:
            self._probes_succeeded += 1
            if self._probes_succeeded >= self._breaker.half_open_probes:
                self.state, self._counts = "closed", Window(self._breaker.sampling_duration)
        else:
            self._open()

    def _count(self, good: bool | None) -> None:
        if good is not None:
            self._counts.add(total=1, marked=not good)
        if good is False:
            total, failed = self._counts.sums()
            enough = total >= self._breaker.minimum_throughput
            if enough and failed >= self._breaker.failure_ratio * total:
                self._open()

    def _open(self) -> None:
        self.state = "open"
        self._break_ends_at = monotonic() + self._breaker.break_duration


class CircuitBreakerStrategy:
    """Sends an attempt if the circuit admits it, and records how it went."""

    def __init__(
        self,
        breaker: CircuitBreaker,
        circuit: Circuit,
        upstream: str,
        stalls: Stalls,
        inner: Strategy,
    ) -> None:
        self._breaker = breaker
        self._circuit = circuit
        self._upstream = upstream
        self._stalls = stalls
        self._inner = inner
        # Seconds that a good response usually takes; 0 until there was one.
        self._usual_seconds = 0.0

    async def __call__(self, context: CallContext[R]) -> R:
        ticket = self._circuit.admit()
        started = self._clock(context)
        slow_after = (
            self._breaker.slow_after or SLOW_SHARE_OF_ATTEMPT_TIMEOUT * context.attempt_timeout
        )
        good: bool | None = None
        # Five cases say something about the upstream; every other error says nothing.
        try:
            response = await self._inner(context)
        except httpx.HTTPStatusError as error:
            # 1. A status other than 2xx. Below 500, the request was wrong, not the upstream.
            took = self._clock(context) - started
            good = error.response.status_code < 500 and took < slow_after
            raise
        except httpx.TransportError as error:
            # 2. No response. That this process has no file left says nothing of the upstream.
            good = None if is_out_of_resources(error) else False
            raise
        except DeadlineExceeded:
            # 3. The timeout of the whole call has passed.
            good = self._cut_off(context, self._clock(context) - started, slow_after)
            raise
        except asyncio.CancelledError:
            # 4. The deadlines of all callers have passed. A caller that leaves before its deadline
            # proves nothing.
            if monotonic() >= context.wanted_until - TIMER_TOLERANCE_SECONDS:
                good = self._cut_off(context, self._clock(context) - started, slow_after)
            raise
        else:
            # 5. A status of 2xx, in time or late.
            took = self._clock(context) - started
            good = took < slow_after
            # A running mean; the first good response is its beginning.
            usual = self._usual_seconds or took
            self._usual_seconds = usual + USUAL_SHARE * (took - usual)
            return response
        finally:
            self._record(ticket, good)

    def _clock(self, context: CallContext[R]) -> float:
        """A clock that stands while the rate limit holds requests back, or while the loop does."""
        return monotonic() - context.held_back - self._stalls.seconds

    def _cut_off(self, context: CallContext[Any], took: float, slow_after: float) -> bool | None:
        """What an attempt says that ended without a response after so many seconds."""
        long = max(CUT_OFF_LEAST_SECONDS, CUT_OFF_MULTIPLE * self._usual_seconds)
        # Nobody knows yet what is usual here, and one client that asks for short times must not cut
        # an upstream off for all.
        if context.end_is_asked and not self._usual_seconds:
            long = slow_after
        return False if took >= min(slow_after, long) - TIMER_TOLERANCE_SECONDS else None

    def _record(self, ticket: float, good: bool | None) -> None:
        before = self._circuit.state
        self._circuit.record(ticket, good)
        now = self._circuit.state
        if now == before:
            return

        if now == "open":
            logger.warning(
                "Upstream %s: circuit breaker open, was %s. Too many attempts failed or were slow; "
                "nothing is sent to this upstream for %g s. Check the upstream.",
                self._upstream,
                before,
                self._breaker.break_duration,
            )
        else:
            logger.warning(
                "Upstream %s: circuit breaker %s, was %s. The probes succeeded; calls are sent "
                "again.",
                self._upstream,
                now,
                before,
            )

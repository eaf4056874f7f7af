"""Each protection of an upstream, by itself, over an injected transport."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory

from offload.fanout import CircuitBreaker, Outcome, Retry, Upstream, deadline
from offload.fanout.circuit_breaker import Circuit
from offload.fanout.http import httpx
from offload.fanout.middleware import DeadlineMiddleware

pytestmark = pytest.mark.timeout(30)


class Script:
    """A transport that answers with these statuses, or raises these exceptions, in their order.

    The last one is repeated.
    """

    def __init__(
        self, *answers: int | Exception, delay: float = 0.0, headers: dict[str, str] | None = None
    ) -> None:
        self.answers = list(answers)
        self.delay = delay
        self.headers = headers or {}
        self.requests: list[httpx.Request] = []
        self.busy = self.busiest = 0

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        self.busy += 1
        self.busiest = max(self.busy, self.busiest)
        try:
            await asyncio.sleep(self.delay)
        finally:
            self.busy -= 1
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer, json={}, headers=self.headers)


def declare(**limits: Any) -> Upstream:
    return Upstream("scripted", base_url="http://upstream.test", **limits)


async def repeat(
    upstream: Upstream, times: int, make: Callable[[int], Any] | None = None
) -> list[Outcome[Any]]:
    call = make or (lambda number: upstream.get_json("/", params={"number": number}))
    return [await call(number).outcome() for number in range(times)]


def end_break(upstream: Upstream) -> None:
    """As if the breaker had been open for its time."""
    circuit = upstream.client().circuit
    circuit._break_ends_at -= upstream.breaker.break_duration


QUICK = Retry(wait_initial=0.0)


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
async def test_a_read_is_tried_again_after_a_passing_fault(status: int) -> None:
    script = Script(status, 200)
    upstream = declare(retry=QUICK)
    with upstream.using(httpx.MockTransport(script)):
        outcome = await upstream.get_json("/").outcome()
    assert (outcome.status, outcome.attempts, len(script.requests)) == ("ok", 2, 2)


@pytest.mark.parametrize("fault", [503, httpx.ReadTimeout("late"), httpx.ReadError("reset")])
async def test_a_write_is_sent_once_unless_declared_idempotent(fault: int | Exception) -> None:
    for idempotent, sent in ((False, 1), (True, 3)):
        script = Script(fault)
        upstream = declare(retry=QUICK)
        with upstream.using(httpx.MockTransport(script)):
            await upstream.post_json("/", {}, idempotent=idempotent).outcome()
        assert len(script.requests) == sent


@pytest.mark.parametrize("fault", [httpx.ConnectError("refused"), httpx.ConnectTimeout("late")])
async def test_a_write_that_was_surely_not_sent_is_tried_again(fault: Exception) -> None:
    script = Script(fault, fault, 200)
    upstream = declare(retry=QUICK)
    with upstream.using(httpx.MockTransport(script)):
        assert (await upstream.post_json("/", {}).outcome()).status == "ok"
    assert len(script.requests) == 3


async def test_retry_after_is_waited_for_or_the_call_given_up() -> None:
    # A wait of a minute would end after the deadline.
    patient = Retry(wait_initial=0.0, wait_max=60)
    for seconds, sent in (("0", 3), ("60", 1)):
        script = Script(503, headers={"Retry-After": seconds})
        upstream = declare(retry=patient, timeout=120)
        with upstream.using(httpx.MockTransport(script)), deadline(20):
            outcome = await upstream.get_json("/").outcome()
        assert (outcome.attempts, len(script.requests)) == (sent, sent)
        assert outcome.ms < 15_000


async def test_a_retry_after_beyond_the_longest_pause_is_not_waited_for() -> None:
    script = Script(503, headers={"Retry-After": "2"})
    upstream = declare(retry=Retry(wait_max=1.0), timeout=60)
    with upstream.using(httpx.MockTransport(script)):
        assert (await upstream.get_json("/").outcome()).attempts == 1


async def test_the_budget_holds_retries_to_a_fifth_of_the_calls_in_a_total_outage() -> None:
    script = Script(503)
    upstream = declare(
        retry=Retry(wait_initial=0.0, budget_min_per_second=0.0),
        breaker=CircuitBreaker(failure_ratio=2.0),
    )
    with upstream.using(httpx.MockTransport(script)):
        await repeat(upstream, 500)
    assert 500 < len(script.requests) <= 600


async def test_the_floor_lets_a_quiet_upstream_retry() -> None:
    script = Script(503)
    upstream = declare(
        retry=Retry(wait_initial=0.0, budget_ratio=0.0, budget_min_per_second=1.0),
        breaker=CircuitBreaker(failure_ratio=2.0),
    )
    with upstream.using(httpx.MockTransport(script)):
        await repeat(upstream, 50)
    # One retry a second, for the ten seconds of the budget.
    assert len(script.requests) == 60


async def test_the_default_budget_spares_a_quiet_upstream_that_is_down() -> None:
    script = Script(503)
    upstream = declare(retry=Retry(wait_initial=0.0), breaker=CircuitBreaker(failure_ratio=2.0))
    with upstream.using(httpx.MockTransport(script)):
        await repeat(upstream, 50)
    assert 50 < len(script.requests) <= 70


async def test_an_upstream_that_fails_is_left_alone_and_asked_again_after_a_pause(
    caplog: pytest.LogCaptureFixture,
) -> None:
    script = Script(*[500] * 5, 200)
    upstream = declare(
        retry=Retry(attempts=1),
        breaker=CircuitBreaker(minimum_throughput=5, break_duration=60, half_open_probes=2),
    )
    with upstream.using(httpx.MockTransport(script)):
        statuses = [outcome.status for outcome in await repeat(upstream, 8)]
        assert statuses == ["error"] * 5 + ["open"] * 3
        assert len(script.requests) == 5
        end_break(upstream)
        together = await asyncio.gather(
            *(upstream.get_json("/", params={"n": n}).outcome() for n in range(5))
        )
        assert sorted(outcome.status for outcome in together) == ["ok"] * 2 + ["open"] * 3, (
            "two probes, no more"
        )
        assert upstream.client().circuit.state == "closed"
    failed = "Upstream scripted: GET / failed: HTTPStatusError('HTTP 500')"
    assert [record.getMessage() for record in caplog.records] == [
        *[failed] * 4,
        "Upstream scripted: circuit breaker open, was closed. Too many attempts failed or were "
        "slow; nothing is sent to this upstream for 60 s. Check the upstream.",
        failed,
        "Upstream scripted: circuit breaker closed, was half-open. The probes succeeded; calls "
        "are sent again.",
    ], "neither what an open breaker refused nor what may be secret, the query"


async def test_a_retry_that_meets_an_open_breaker_leaves_the_real_reason_standing() -> None:
    upstream = declare(retry=QUICK, breaker=CircuitBreaker(minimum_throughput=1))
    with upstream.using(httpx.MockTransport(Script(500))):
        outcome = await upstream.get_json("/").outcome()
    assert (outcome.status, outcome.attempts, type(outcome.error)) == (
        "error",
        1,
        httpx.HTTPStatusError,
    )


async def test_a_probe_that_fails_opens_the_breaker_again() -> None:
    upstream = declare(
        retry=Retry(attempts=1), breaker=CircuitBreaker(minimum_throughput=3, break_duration=60)
    )
    with upstream.using(httpx.MockTransport(Script(500))):
        await repeat(upstream, 3)
        end_break(upstream)
        assert [outcome.status for outcome in await repeat(upstream, 2)] == ["error", "open"]


def test_an_attempt_from_before_the_breaker_opened_is_no_probe() -> None:
    circuit = Circuit(CircuitBreaker(minimum_throughput=1, break_duration=0.0, half_open_probes=1))
    late, failing = circuit.admit(), circuit.admit()
    circuit.record(failing, good=False)
    probe = circuit.admit()
    circuit.record(late, good=True)
    assert circuit.state == "half-open"
    circuit.record(probe, good=True)
    assert circuit.state == "closed"


async def test_answers_that_are_good_but_slow_open_the_breaker() -> None:
    upstream = declare(breaker=CircuitBreaker(minimum_throughput=3, slow_after=0.01))
    with upstream.using(httpx.MockTransport(Script(200, delay=0.02))):
        assert [outcome.status for outcome in await repeat(upstream, 4)] == [
            "ok",
            "ok",
            "ok",
            "open",
        ]


async def test_a_deadline_that_passes_counts_as_slow_after_a_long_wait_only() -> None:
    for seconds, state in ((0.6, "open"), (0.02, "closed")):
        upstream = declare(
            attempt_timeout=2, breaker=CircuitBreaker(minimum_throughput=3, slow_after=0.5)
        )
        with upstream.using(httpx.MockTransport(Script(200, delay=60))):
            for number in range(3):
                with deadline(seconds):
                    await upstream.get_json("/", params={"number": number}).outcome()
            assert upstream.client().circuit.state == state


@pytest.mark.parametrize("seconds", [0.3, 1.0])
async def test_an_upstream_that_hangs_opens_the_breaker_though_deadlines_end_its_calls(
    seconds: float,
) -> None:
    upstream = declare()
    with upstream.using(httpx.MockTransport(Script(200, delay=60))):
        with deadline(seconds):
            calls = [upstream.get_json("/", params={"number": n}).outcome() for n in range(25)]
            assert {outcome.status for outcome in await asyncio.gather(*calls)} == {"timeout"}
        assert upstream.client().circuit.state == "open"


async def test_an_attempt_that_the_timeout_of_its_call_cuts_off_counts() -> None:
    upstream = declare(breaker=CircuitBreaker(minimum_throughput=2))
    with upstream.using(httpx.MockTransport(Script(200, delay=60))):
        call = upstream.post_json("/", {}).with_limits(timeout=0.2)
        outcomes = [await call.outcome() for _ in range(3)]
    assert [outcome.status for outcome in outcomes] == ["timeout", "timeout", "open"]
    assert all("response came" in str(outcome.error) for outcome in outcomes[:2])


async def test_callers_in_a_hurry_do_not_open_the_breaker_of_an_upstream_as_slow_as_ever() -> None:
    script = Script(200, delay=0.2)
    upstream = declare(breaker=CircuitBreaker(minimum_throughput=3))
    with upstream.using(httpx.MockTransport(script)):
        assert (await repeat(upstream, 1))[0].status == "ok"
        for number in range(5):
            with deadline(0.15):
                outcome = await upstream.get_json("/", params={"number": number}).outcome()
            assert outcome.status == "timeout"
        assert upstream.client().circuit.state == "closed"


async def test_a_client_that_asks_for_short_times_opens_no_breaker_before_the_first_response() -> (
    None
):
    """Right after a start: nobody else was served, and its next calls were the probes."""
    script = Script(200, delay=0.3)
    upstream = declare(breaker=CircuitBreaker(minimum_throughput=3))

    async def view(request: HttpRequest) -> HttpResponse:
        number = request.GET["number"]
        outcome = await upstream.get_json("/", params={"number": number}).outcome()
        return HttpResponse(outcome.status)

    served = DeadlineMiddleware(view)
    with upstream.using(httpx.MockTransport(script)):
        for number in range(5):
            hurried = RequestFactory().get(
                "/", {"number": number}, headers={"X-Request-Timeout-Ms": "120"}
            )
            assert (await served(hurried)).content == b"timeout"
        assert upstream.client().circuit.state == "closed"
        assert (await served(RequestFactory().get("/", {"number": 9}))).content == b"ok"


async def test_what_the_caller_did_wrong_does_not_open_the_breaker() -> None:
    upstream = declare(retry=Retry(attempts=1), breaker=CircuitBreaker(minimum_throughput=3))
    with upstream.using(httpx.MockTransport(Script(404, 429, 401, 422))):
        assert {outcome.status for outcome in await repeat(upstream, 10)} == {"error"}
        assert upstream.client().circuit.state == "closed"


async def test_the_bulkhead_bounds_what_is_in_flight_and_what_waits() -> None:
    script = Script(200, delay=0.1)
    upstream = declare(max_in_flight=2, max_waiting=3)
    with upstream.using(httpx.MockTransport(script)):
        calls = [upstream.get_json("/", params={"number": number}).outcome() for number in range(8)]
        outcomes = await asyncio.gather(*calls)
    assert [outcome.status for outcome in outcomes] == ["ok"] * 5 + ["rejected"] * 3
    assert script.busiest == 2
    refused_after = max(outcome.ms for outcome in outcomes[5:])
    assert refused_after < min(outcome.ms for outcome in outcomes[:5]), "they are told at once"


async def test_waiting_for_a_slot_ends_at_the_deadline() -> None:
    upstream = declare(max_in_flight=1)
    with upstream.using(httpx.MockTransport(Script(200, delay=0.5))):
        first = asyncio.create_task(upstream.get_json("/", params={"number": 1}).outcome())
        await asyncio.sleep(0)
        with deadline(0.05):
            second = await upstream.get_json("/", params={"number": 2}).outcome()
        assert (second.status, second.attempts) == ("timeout", 0)
        assert (await first).status == "ok"


async def test_nothing_is_sent_after_the_deadline() -> None:
    script = Script(200)
    upstream = declare()
    with upstream.using(httpx.MockTransport(script)), deadline(0.0):
        assert (await upstream.post_json("/", {}).outcome()).status == "timeout"
    assert not script.requests


async def test_the_rate_limit_spreads_calls_out() -> None:
    upstream = declare(rate=(5, 0.5))
    with upstream.using(httpx.MockTransport(Script(200))):
        started = time.monotonic()
        # Five are sent at once, then one every tenth of a second.
        await repeat(upstream, 8)
        assert time.monotonic() - started > 0.25


async def test_behind_an_open_breaker_nothing_waits_for_the_rate_limit() -> None:
    upstream = declare(
        rate=(3, 60), retry=Retry(attempts=1), breaker=CircuitBreaker(minimum_throughput=3)
    )
    with upstream.using(httpx.MockTransport(Script(500))):
        statuses = [outcome.status for outcome in await repeat(upstream, 6)]
        assert statuses == ["error"] * 3 + ["open"] * 3


async def test_the_time_that_the_rate_limit_holds_a_call_back_is_not_the_upstreams() -> None:
    breaker = CircuitBreaker(minimum_throughput=2, slow_after=0.3)
    upstream = declare(rate=(1, 0.4), breaker=breaker)
    with upstream.using(httpx.MockTransport(Script(200))):
        assert [outcome.status for outcome in await repeat(upstream, 4)] == ["ok"] * 4
        assert upstream.client().circuit.state == "closed"
    upstream = declare(rate=(1, 60), breaker=breaker)
    with upstream.using(httpx.MockTransport(Script(200))):
        assert (await repeat(upstream, 1))[0].status == "ok"
        with deadline(0.4):
            assert (await repeat(upstream, 1))[0].status == "timeout"
        assert upstream.client().circuit.state == "closed"

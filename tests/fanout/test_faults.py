"""Whatever an upstream does, the call ends in time with the right outcome and leaves nothing."""

import asyncio
import gc
import json
import logging
import socket
import time
import traceback
import tracemalloc

import pytest
from chaos import MEGABYTE, Chaos, bomb, opened, tasks, until
from pydantic import BaseModel

from offload.fanout import (
    DeadlineExceeded,
    Retry,
    TooLarge,
    Undecodable,
    Upstream,
    deadline,
    gather,
)
from offload.fanout.context import CallContext
from offload.fanout.errors import without_frames
from offload.fanout.http import httpx

pytestmark = pytest.mark.timeout(30)

# Seconds for a call that gets no answer; each attempt has half of it.
TIMEOUT = 0.6
HURRIED = {"attempt_timeout": TIMEOUT / 2, "timeout": TIMEOUT, "connect_timeout": TIMEOUT / 4}
# The limits of a call that gets one: a machine that stalls does not turn it into a timeout.
PATIENT = {"attempt_timeout": 10.0, "timeout": 20.0, "connect_timeout": 5.0}
# A call is over by then though the machine stalls for seconds. The default timeout is 5 s.
MAX_SECONDS = 4.5

LATE = httpx.TimeoutException | DeadlineExceeded

# For each fault: the status of the outcome, the class of its error, and how many requests the
# upstream sees for a GET. (It sees one for a POST.)
FAULTS = {
    "silent": ("timeout", LATE, 2),
    "drip": ("timeout", LATE, 2),
    "half_head": ("timeout", LATE, 2),
    "too_short": ("timeout", LATE, 2),
    "endless_head": ("error", httpx.RemoteProtocolError, 3),
    "endless_interim": ("error", httpx.RemoteProtocolError, 3),
    "long_content_type": ("error", httpx.RemoteProtocolError, 3),
    "torn": ("error", httpx.RemoteProtocolError, 3),
    "reset": ("error", httpx.RemoteProtocolError, 3),
    "cut": ("error", httpx.RemoteProtocolError, 3),
    "garbage": ("error", httpx.RemoteProtocolError, 3),
    "mangled": ("error", httpx.RemoteProtocolError, 3),
    "busy": ("error", httpx.HTTPStatusError, 3),
    # Its Retry-After is longer than any call waits.
    "later": ("error", httpx.HTTPStatusError, 1),
    "fails": ("error", httpx.HTTPStatusError, 3),
    "missing": ("error", httpx.HTTPStatusError, 1),
    "broken": ("error", Undecodable, 1),
    "redirect": ("error", httpx.HTTPStatusError, 1),
    "loop": ("error", httpx.HTTPStatusError, 1),
    "huge": ("error", TooLarge, 1),
    "endless": ("error", TooLarge, 1),
    "bomb": ("error", TooLarge, 1),
}


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("fault", FAULTS)
async def test_a_fault_ends_in_time_with_its_outcome_and_leaves_nothing(
    chaos: Chaos, fault: str, method: str
) -> None:
    status, error, sent = FAULTS[fault]
    # Made before the time of this test is measured.
    bomb()
    async with opened(chaos.url, **HURRIED if status == "timeout" else PATIENT) as upstream:
        call = (
            upstream.get_json(f"/{fault}")
            if method == "GET"
            else upstream.post_json(f"/{fault}", {})
        )
        gc.collect()
        tracemalloc.start()
        started = time.monotonic()
        outcome = await call.outcome()
        took = time.monotonic() - started
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()

        assert outcome.status == status
        assert isinstance(outcome.error, error)
        assert took < MAX_SECONDS
        assert outcome.ms <= took * 1000
        assert peak < 16 * MEGABYTE
        if method == "POST":
            assert chaos.seen == {f"POST /{fault}": 1}, "a write was sent twice"
        else:
            assert chaos.seen.total() == outcome.attempts <= sent
            assert outcome.attempts == sent or status == "timeout" or outcome.attempts > 1
        await until(lambda: not tasks())
        if error is not httpx.HTTPStatusError and error is not Undecodable:
            # A connection that failed is closed, not kept.
            await until(lambda: not chaos.open)
        assert await upstream.get_json("/ok").outcome(), "the next call finds the upstream usable"


async def test_what_an_upstream_sends_beyond_its_response_is_no_answer_to_the_next_call(
    chaos: Chaos,
) -> None:
    async with opened(chaos.url, **PATIENT) as upstream:
        for fault in ("/too_long", "/too_long_and_late") * 3:
            assert await upstream.get_json(fault) == {}
            await until(lambda: chaos.forged)
            assert "forged" not in await upstream.get_json("/ok")
            chaos.forged = False


async def test_a_write_is_not_sent_over_a_kept_connection_that_the_upstream_has_just_closed(
    chaos: Chaos,
) -> None:
    """The event loop has not heard of it yet."""
    async with opened(chaos.url) as upstream:
        for _ in range(10):
            await upstream.get_json("/ok")
            for kept in chaos.open:
                kept.get_extra_info("socket").shutdown(socket.SHUT_RDWR)
            assert (await upstream.post_json("/ok", {}).outcome()).status == "ok"


async def test_a_write_dropped_on_a_kept_connection_is_not_sent_again(chaos: Chaos) -> None:
    async with opened(chaos.url) as upstream:
        await upstream.get_json("/ok")
        outcome = await upstream.post_json("/reset", {}).outcome()
        assert chaos.connections == 1, "the POST was meant to use the kept connection"
    assert chaos.seen["POST /reset"] == outcome.attempts == 1
    assert isinstance(outcome.error, httpx.RemoteProtocolError)


async def test_a_read_dropped_on_a_kept_connection_is_sent_again_by_us_alone(chaos: Chaos) -> None:
    async with opened(chaos.url) as upstream:
        await upstream.get_json("/ok")
        outcome = await upstream.get_json("/reset").outcome()
    assert chaos.seen["GET /reset"] == outcome.attempts


async def test_a_refused_connection_is_a_connect_error(chaos: Chaos) -> None:
    with socket.socket() as placeholder:
        # The port is bound but nothing listens: no other process can take it.
        placeholder.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{placeholder.getsockname()[1]}"
        async with opened(url, **PATIENT) as upstream:
            outcome = await upstream.get_json("/").outcome()
    assert (outcome.status, type(outcome.error)) == ("error", httpx.ConnectError)
    assert not tasks()


async def test_a_name_that_does_not_resolve_ends_in_time() -> None:
    async with opened("http://no-such-host.invalid", **HURRIED) as upstream:
        started = time.monotonic()
        outcome = await upstream.get_json("/").outcome()
        assert time.monotonic() - started < MAX_SECONDS
    assert isinstance(outcome.error, httpx.ConnectError | httpx.TimeoutException)
    await until(lambda: not tasks())


async def test_a_connection_that_hangs_in_the_tls_handshake_is_a_connect_timeout(
    chaos: Chaos,
) -> None:
    limits = PATIENT | {"connect_timeout": TIMEOUT / 4}
    async with opened(
        chaos.url.replace("http:", "https:"), **limits, retry=Retry(attempts=1)
    ) as upstream:
        outcome = await upstream.get_json("/").outcome()
        assert (outcome.status, type(outcome.error)) == ("timeout", httpx.ConnectTimeout)
        await until(lambda: not chaos.open and not tasks())


async def test_a_stream_with_a_long_content_type_is_refused(chaos: Chaos) -> None:
    async with opened(chaos.url, retry=Retry(attempts=1)) as upstream:
        with pytest.raises(httpx.RemoteProtocolError, match="Content-Type is too long"):
            async with upstream.stream("/long_content_type", max_bytes=MEGABYTE, within=5.0):
                pass


async def test_a_redirect_is_not_followed(chaos: Chaos) -> None:
    async with opened(chaos.url) as upstream:
        outcome = await upstream.get_json("/redirect").outcome()
    assert isinstance(outcome.error, httpx.HTTPStatusError)
    assert outcome.error.response.headers["Location"].endswith("/secret")
    assert "GET /secret" not in chaos.seen


async def test_one_bad_source_does_not_hold_up_the_others(chaos: Chaos) -> None:
    async with opened(chaos.url, attempt_timeout=1.0, timeout=2.0) as upstream:
        kinds = ["ok", "silent", "drip", "reset", "broken", "zipped"]
        outcomes = await gather({kind: upstream.get_json(f"/{kind}") for kind in kinds})
    assert [outcomes[kind].status for kind in kinds] == [
        "ok",
        "timeout",
        "timeout",
        "error",
        "error",
        "ok",
    ]
    assert outcomes["zipped"].value == {"zipped": True}
    assert outcomes["ok"].ms < outcomes["silent"].ms


async def test_a_write_to_an_upstream_that_is_just_starting_arrives_once() -> None:
    with socket.socket() as placeholder:
        placeholder.bind(("127.0.0.1", 0))
        port = placeholder.getsockname()[1]
    # Nothing listens on the port now.
    patient = Retry(attempts=50, wait_initial=0.1, wait_max=0.2)
    async with opened(f"http://127.0.0.1:{port}", retry=patient) as upstream:
        writing = asyncio.create_task(upstream.post_json("/ok", {"n": 1}).outcome())
        await asyncio.sleep(0.2)
        async with Chaos(port=port) as chaos:
            outcome = await writing
            assert (outcome.status, chaos.seen) == ("ok", {"POST /ok": 1})
    assert outcome.attempts > 1


@pytest.mark.parametrize("fault", FAULTS)
async def test_no_log_line_of_a_failed_call_has_the_query_the_headers_or_the_body(
    chaos: Chaos, caplog: pytest.LogCaptureFixture, fault: str
) -> None:
    caplog.set_level(logging.DEBUG)
    limits = PATIENT if FAULTS[fault][1] is not LATE else HURRIED
    async with opened(chaos.url, retry=Retry(attempts=1), **limits) as upstream:
        sent = {"params": {"key": "s3cr3t"}, "headers": {"X-Key": "s3cr3t"}}
        await upstream.post_json(f"/{fault}", {"key": "s3cr3t"}, **sent).outcome()
    assert f"POST /{fault} failed" in caplog.text
    assert "s3cr3t" not in caplog.text


@pytest.mark.parametrize("fault", ["long_header", "odd_header"])
async def test_no_log_line_has_a_header_that_could_not_be_read(
    chaos: Chaos, caplog: pytest.LogCaptureFixture, fault: str
) -> None:
    async with opened(chaos.url, retry=Retry(attempts=1), **PATIENT) as upstream:
        outcome = await upstream.get_json(f"/{fault}").outcome()
    assert isinstance(outcome.error, httpx.RemoteProtocolError)
    assert f"GET /{fault} failed: RemoteProtocolError" in caplog.text
    assert "s3cr3t" not in caplog.text


class Priced(BaseModel):
    price: float


@pytest.mark.parametrize("body", ['{"price": "s3cr3t"}', '{"price": s3cr3t}', "s3cr3t"])
async def test_no_log_line_and_no_traceback_has_a_body_that_could_not_be_read(
    caplog: pytest.LogCaptureFixture, body: str
) -> None:
    upstream = Upstream("scripted", base_url="http://upstream.test")
    with upstream.using(httpx.MockTransport(lambda _: httpx.Response(200, text=body))):
        outcome = await upstream.get_json("/").into(Priced).outcome()
    assert outcome.error is not None
    assert "GET / failed: Undecodable" in caplog.text
    assert "s3cr3t" not in caplog.text
    assert "s3cr3t" not in "".join(traceback.format_exception(outcome.error))


@pytest.mark.parametrize(("wrong", "told"), [(12, "and 2 more"), (40_000, "40000 values of list")])
async def test_a_body_with_very_many_faults_is_a_short_line(
    caplog: pytest.LogCaptureFixture, wrong: int, told: str
) -> None:
    """An upstream renames a field: each call wrote a line of megabytes, and took half a second."""
    body = json.dumps([{"cost": 1}] * wrong)
    upstream = Upstream("renamed", base_url="http://upstream.test")
    with upstream.using(httpx.MockTransport(lambda _: httpx.Response(200, text=body))):
        outcome = await upstream.get_json("/").into(list[Priced]).outcome()
    assert told in str(outcome.error)
    assert len(caplog.text) < 1000


async def test_a_body_with_a_very_long_key_is_a_short_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    body = json.dumps({"k" * MEGABYTE: "none"})
    upstream = Upstream("odd", base_url="http://upstream.test")
    with upstream.using(httpx.MockTransport(lambda _: httpx.Response(200, text=body))):
        outcome = await upstream.get_json("/").into(dict[str, float]).outcome()
    assert outcome.status == "error"
    assert len(caplog.text) < 1000


@pytest.mark.parametrize("url", ["http://user:s3cr3t@host/a", "http://host/a?key=s3cr3t"])
def test_a_refused_base_url_is_named_without_its_secrets(url: str) -> None:
    with pytest.raises(ValueError, match=r"base_url must be .*'[^']*host/a'") as refused:
        Upstream("odd", base_url=url)
    assert "s3cr3t" not in str(refused.value)


@pytest.mark.parametrize("fault", ["ok", *FAULTS])
@pytest.mark.parametrize("within", [10.0, 0.15], ids=["answered", "left"])
async def test_a_call_leaves_nothing_to_the_garbage_collector(
    chaos: Chaos, monkeypatch: pytest.MonkeyPatch, fault: str, within: float
) -> None:
    """Else a part of each large body would wait for it."""
    # pytest keeps each record, with its error.
    monkeypatch.setattr(logging.getLogger("offload.fanout"), "disabled", True)
    gc.collect()
    gc.disable()
    try:
        async with opened(chaos.url, **HURRIED) as upstream:
            with deadline(within):
                await upstream.get_json(f"/{fault}").outcome()
            # aiohttp closes its connection in the next turns of the loop.
            await asyncio.sleep(0.05)
            assert not [each for each in gc.get_objects() if isinstance(each, CallContext)]
    finally:
        gc.enable()


def test_errors_that_lead_to_each_other_lose_their_frames_too() -> None:
    def raised(error: Exception) -> Exception:
        with pytest.raises(type(error)):
            raise error
        return error

    shared, mapped = raised(OSError("shared")), raised(httpx.ReadError("mapped"))
    mapped.__cause__, shared.__context__ = shared, mapped
    assert without_frames(mapped) is mapped
    assert mapped.__traceback__ is shared.__traceback__ is None

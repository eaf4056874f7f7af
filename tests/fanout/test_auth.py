"""Access tokens: one fetch for all who wait, and a second try after a 401."""

import asyncio
import base64
import gc
import weakref
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from chaos import Chaos, tasks, until
from test_protections import Script, declare

from offload.fanout import (
    AuthFailed,
    Cache,
    OAuth2,
    Retry,
    Token,
    TokenAuth,
    Upstream,
    deadline,
    gather,
)
from offload.fanout.auth import REFRESH_PAUSE_SECONDS
from offload.fanout.http import httpx
from offload.problems import Problem

pytestmark = pytest.mark.timeout(30)


@asynccontextmanager
async def guarded(chaos: Chaos, **options: Any) -> AsyncIterator[tuple[Upstream, OAuth2]]:
    """An upstream whose tokens come from an OAuth 2.0 server, both on loopback."""
    login = Upstream("login", base_url=chaos.url)
    auth = OAuth2(login, "/token", client_id="desk", client_secret="s:cret", **options)
    prices = Upstream("prices", base_url=chaos.url, auth=auth)
    async with login.open(), prices.open():
        yield prices, auth


def later(auth: TokenAuth, seconds: float = REFRESH_PAUSE_SECONDS) -> None:
    """Make the held token older."""
    assert auth._held
    auth._held.fetched_at -= seconds
    auth._held.renew_at -= seconds
    auth._held.expires_at -= seconds
    auth._next_renewal_at -= seconds


async def ask(upstream: Upstream, times: int) -> Counter[str]:
    """The statuses of so many calls at once, half of them writes."""
    reads = {f"read{n}": upstream.get_json("/guarded", params={"n": n}) for n in range(times // 2)}
    writes = {f"write{n}": upstream.post_json("/guarded", {}) for n in range(times // 2)}
    outcomes = await gather(reads | writes)
    return Counter(outcome.status for outcome in outcomes.values())


async def test_one_token_serves_all_callers(chaos: Chaos) -> None:
    async with guarded(chaos, scope="read") as (prices, _):
        assert await ask(prices, 40) == {"ok": 40}
    assert chaos.tokens == 1
    asked = next(headers for headers in chaos.headers if "basic" in str(headers).lower())
    assert base64.b64decode(asked["authorization"].split()[1]) == b"desk:s%3Acret"
    assert chaos.seen["GET /guarded"] == chaos.seen["POST /guarded"] == 20


async def test_after_a_401_there_is_one_refresh_for_all_and_every_request_is_sent_once_more(
    chaos: Chaos,
) -> None:
    async with guarded(chaos) as (prices, auth):
        await ask(prices, 2)
        later(auth)
        chaos.accepted = "token-2"
        assert await ask(prices, 40) == {"ok": 40}
    assert chaos.tokens == 2
    assert chaos.seen["GET /guarded"] == chaos.seen["POST /guarded"] == 1 + 40


async def test_an_upstream_that_refuses_every_token_does_not_flood_the_server(chaos: Chaos) -> None:
    async with guarded(chaos) as (prices, auth):
        chaos.accepted = "none"
        outcome = await prices.get_json("/guarded").outcome()
        assert isinstance(outcome.error, httpx.HTTPStatusError)
        for _ in range(10):
            await prices.get_json("/guarded").outcome()
        assert chaos.tokens == 1
        later(auth)
        assert (await prices.get_json("/guarded").outcome()).status == "error"
        assert (chaos.tokens, chaos.seen["GET /guarded"]) == (2, 13)


async def test_a_token_is_renewed_before_it_expires_and_no_call_waits_for_that(
    chaos: Chaos,
) -> None:
    async with guarded(chaos) as (prices, auth):
        await ask(prices, 2)
        later(auth, 3600 - 30)
        chaos.delay = 60
        assert await ask(prices, 2) == {"ok": 2}
        await until(lambda: chaos.seen["POST /token"] == 2)
        chaos.delay = 0
    async with guarded(chaos) as (prices, auth):
        chaos.accepted = "token-2"
        await ask(prices, 2)
        later(auth, 3600)
        chaos.accepted = "token-3"
        assert await ask(prices, 2) == {"ok": 2}, "an expired token was used"


async def test_refresh_tokens_that_are_good_for_one_use_are_used_once_and_the_next_is_stored(
    chaos: Chaos,
) -> None:
    stored: list[str] = []

    async def store(refresh_token: str) -> None:
        stored.append(refresh_token)

    async with guarded(chaos, refresh_token="first", on_refresh_token=store) as (prices, auth):
        assert await ask(prices, 20) == {"ok": 20}
        later(auth)
        chaos.accepted = "token-2"
        assert await ask(prices, 20) == {"ok": 20}
    assert chaos.shown == ["first", "refresh-1"]
    assert stored == ["refresh-1", "refresh-2"]


async def test_a_login_that_fails_is_told_apart_and_nothing_is_sent(chaos: Chaos) -> None:
    async with guarded(chaos, refresh_token="used") as (prices, _):
        chaos.shown.append("used")
        outcome = await prices.get_json("/guarded").outcome()
        assert isinstance(outcome.error, AuthFailed)
        assert (outcome.status, outcome.attempts) == ("error", 0)
        assert "s:cret" not in repr(outcome)
        assert "GET /guarded" not in chaos.seen
        assert prices.client().circuit.state == "closed"


async def test_a_caller_that_leaves_or_is_late_ends_the_fetch_for_nobody_else(chaos: Chaos) -> None:
    chaos.delay = 1.0
    async with guarded(chaos) as (prices, _):
        leaving = asyncio.create_task(prices.get_json("/guarded").outcome())
        with deadline(0.1):
            hurried = asyncio.create_task(prices.post_json("/guarded", {}).outcome())
            await asyncio.sleep(0)
        waiting = asyncio.create_task(prices.get_json("/guarded", params={"n": 2}).outcome())
        await until(lambda: chaos.seen["POST /token"] == 1)
        leaving.cancel()
        late = await hurried
        assert (late.status, late.attempts) == ("timeout", 0)
        assert not waiting.done(), "the late one waited for the token, too"
        assert (await waiting).status == "ok"
        assert chaos.tokens == 1
    await until(lambda: not tasks())


async def test_a_call_with_credentials_of_its_own_gets_no_token() -> None:
    async def fetch() -> Token:
        raise AssertionError

    script = Script(200)
    upstream = declare(auth=TokenAuth(fetch))
    with upstream.using(httpx.MockTransport(script)):
        await upstream.get_json("/", headers={"authorization": "Bearer alice"})
    assert script.requests[0].headers.get_list("Authorization") == ["Bearer alice"]


async def test_a_stream_is_sent_with_the_token_as_a_call_is() -> None:
    async def fetch() -> Token:
        return Token("own", expires_in=60)

    script = Script(200)
    upstream = declare(auth=TokenAuth(fetch, scheme="Key"))
    with upstream.using(httpx.MockTransport(script)):
        async with upstream.stream("/", max_bytes=100, within=5) as response:
            await response.aread()
        await upstream.get_json("/")
    assert [request.headers["Authorization"] for request in script.requests] == ["Key own"] * 2


@pytest.mark.parametrize(("status", "outcome"), [(503, "stale"), (400, "error")])
async def test_an_outage_of_the_login_is_a_fault_of_the_source_and_a_refusal_is_not(
    status: int, outcome: str
) -> None:
    login = Upstream("login", base_url="http://login.test", retry=Retry(attempts=1))
    auth = OAuth2(login, "/token", client_id="desk", client_secret="secret")
    prices = declare(auth=auth, cache=Cache())

    def give(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"access_token": "token-1", "expires_in": 60})

    with login.using(httpx.MockTransport(give)), prices.using(httpx.MockTransport(Script(200))):
        assert (await prices.get_json("/").outcome()).status == "ok"
        later(auth, 60)
        with login.using(httpx.MockTransport(Script(status))):
            found = await prices.get_json("/").outcome()
            assert found.status == outcome
            with pytest.raises(Problem) as raised:
                await prices.get_json("/other")
    assert raised.value.status == 502
    assert ("Try again" in raised.value.detail) == (status == 503)


@pytest.mark.parametrize(
    ("given", "outcome"),
    [
        ({"access_token": "good", "expires_in": None}, "ok"),
        ({"access_token": "good\r\nX-Role: admin"}, "error"),
        ({"access_token": "g\u00f6\u00f6d"}, "error"),
        ({"access_token": ""}, "error"),
    ],
    ids=["no lifetime", "two headers", "no ASCII", "empty"],
)
async def test_what_no_header_can_hold_is_no_token(given: dict[str, Any], outcome: str) -> None:
    login = Upstream("login", base_url="http://login.test")
    prices = declare(auth=OAuth2(login, "/token", client_id="desk", client_secret="secret"))
    answer = httpx.Response(200, json=given)
    with (
        login.using(httpx.MockTransport(lambda _: answer)),
        prices.using(httpx.MockTransport(Script(200))),
    ):
        found = await prices.get_json("/").outcome()
    assert found.status == outcome
    assert outcome == "ok" or isinstance(found.error, AuthFailed)


async def test_a_fetch_that_fails_leaves_nothing_to_the_garbage_collector() -> None:
    """Else the frames of each failed renewal would wait for it, with what the server answered."""
    held: list[weakref.ref[Any]] = []

    async def fetch() -> Token:
        answer = httpx.Response(503)
        held.append(weakref.ref(answer))
        raise httpx.ConnectError("no server")

    auth = TokenAuth(fetch)
    gc.disable()
    try:
        # In the background: no call waits for it.
        await auth._start()
        assert held[0]() is None
    finally:
        gc.enable()

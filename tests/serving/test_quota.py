"""How often one caller may call: one quota for all web processes, kept in Redis."""

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
import uvloop
from conftest import Server, eventually, migrate, once, web_process
from postgresql_server import free_port

from offload_dev.launcher.embedded_valkey import command

pytestmark = once
# A caller gets a request more every six minutes: nothing comes back while a test runs.
QUOTA, WINDOW_SECONDS = 10, 3600
SETTINGS = f"""
import dataclasses, os
from config.settings import *
OFFLOAD = dataclasses.replace(
    OFFLOAD, requests_per_owner={QUOTA}, requests_per_address={QUOTA},
    request_quota_window={WINDOW_SECONDS}, request_count_timeout=0.5,
    uncounted_requests_pass=os.environ.get("TEST_PASSES") != "0",
)
ROOT_URLCONF = "quota_urls"
"""
URLS = """
from django.urls import path
from config.urls import urlpatterns as generated
from offload.access import AnyClient, BearerToken
from offload.api import make_api

api = make_api("quotas", version="2")

@api.get("/public", auth=AnyClient())
async def public(request):
    return str(request.auth)

@api.get("/either", auth=[BearerToken(), AnyClient()])
async def either(request):
    return str(request.auth)

@api.get("/in-a-thread")
def in_a_thread(request):
    return request.auth

urlpatterns = [path("api/quotas/", api.urls), *generated]
"""
# A web process whose clock is five minutes ahead.
AHEAD = (
    "import time; now = time.time; time.time = lambda: now() + 300; import runpy; "
    "runpy.run_module('offload.serving', run_name='__main__')"
)
# Prints a token for each owner, and the key of a session of the user `grace`.
PEOPLE = """
import django; django.setup()
from django.contrib.auth.models import User
from django.test import Client
from offload.access.models import ApiToken
client = Client()
client.force_login(User.objects.create_user("grace"))
print(client.cookies["sessionid"].value)
for number in range(12):
    print(ApiToken.make("grace" if number == 0 else f"owner-{number}")[1])
"""


class Setup:
    """A Valkey, and web processes that count in it."""

    def __init__(self, service: Path, folder: Path) -> None:
        self.service, self.folder = service, folder
        self.redis_port = free_port()
        self.valkey = subprocess.Popen(command(self.redis_port), stdout=subprocess.DEVNULL)
        self.redis = redis.Redis(port=self.redis_port, socket_timeout=30)
        self.environment = {
            "DATABASE_URL": f"sqlite:///{folder / 'quota.sqlite3'}",
            "DJANGO_SETTINGS_MODULE": "quota_settings",
            "PYTHONPATH": str(folder),
            "REDIS_URL": f"redis://127.0.0.1:{self.redis_port}/0",
        }
        (folder / "quota_settings.py").write_text(SETTINGS)
        (folder / "quota_urls.py").write_text(URLS)
        migrate(service, self.environment["DATABASE_URL"])
        eventually(self.answers, "Valkey")
        self.session, self.of_grace, *self.tokens = self.people()

    def answers(self) -> bool:
        try:
            return bool(self.redis.ping())
        except redis.RedisError:
            return False

    def people(self) -> list[str]:
        """The key of a session, and the tokens."""
        env = {"PATH": "/usr/bin:/bin", **self.environment, "PORT": str(free_port())}
        made = subprocess.run(
            [sys.executable, "-c", PEOPLE],
            check=True,
            cwd=self.service,
            env=env,
            capture_output=True,
            text=True,
        )
        return made.stdout.split()

    def web(self, *code: str, **more: str) -> Any:
        """A web process."""
        what = ("-c", *code) if code else ("-m", "offload.serving")
        return web_process(
            self.service, self.folder, "", self.environment | more, command=(sys.executable, *what)
        )

    def counted_keys(self) -> list[bytes]:
        found: Any = self.redis.keys("*:requests:*")
        return list(found)


@pytest.fixture(scope="module")
def setup(service: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Setup]:
    made = Setup(service, tmp_path_factory.mktemp("quota"))
    yield made
    made.redis.close()
    made.valkey.send_signal(signal.SIGCONT)
    made.valkey.kill()
    made.valkey.wait()


@pytest.fixture(scope="module")
def webs(setup: Setup) -> Iterator[tuple[Server, Server]]:
    """Two web processes. The clock of the second is wrong."""
    with ExitStack() as stack:
        yield stack.enter_context(setup.web()), stack.enter_context(setup.web(AHEAD))


def ask(server: Server, token: str, path: str = "/api/jobs", **headers: str) -> httpx.Response:
    return server.get(path, headers={"Authorization": f"Bearer {token}", **headers})


def from_address(server: Server, address: str, path: str, **headers: str) -> httpx.Response:
    """A request that a proxy on this machine passes on."""
    return server.get(path, headers={"X-Forwarded-For": address, **headers})


def test_two_web_processes_share_one_quota(setup: Setup, webs: tuple[Server, Server]) -> None:
    token = setup.tokens[0]
    answers = [ask(webs[number % 2], token) for number in range(QUOTA + 4)]
    assert [answer.status_code for answer in answers] == [200] * QUOTA + [429] * 4
    assert [answer.headers["RateLimit"].split(";")[1] for answer in answers] == [
        f"r={max(0, QUOTA - number)}" for number in range(1, QUOTA + 5)
    ]
    assert ask(webs[0], setup.tokens[1]).status_code == 200, "another owner"


def test_a_refusal_says_how_long_to_wait(setup: Setup, webs: tuple[Server, Server]) -> None:
    for _ in range(QUOTA):
        assert ask(webs[0], setup.tokens[2]).status_code == 200
    refused = ask(webs[0], setup.tokens[2])
    assert refused.headers["Content-Type"] == "application/problem+json"
    assert 1 <= int(refused.headers["Retry-After"]) <= WINDOW_SECONDS / QUOTA
    assert refused.headers["RateLimit-Policy"] == f'"owner";q={QUOTA};w={WINDOW_SECONDS}'
    seconds = int(refused.headers["RateLimit"].removeprefix('"owner";r=0;t='))
    assert 0 < seconds <= WINDOW_SECONDS
    problem = refused.json()
    assert problem["type"].endswith("#quota-exceeded")
    assert problem["violated-policies"] == ["owner"]
    assert webs[0].metric('offload_access_over_quota_total{limit="owner"}') >= 1


def test_a_session_and_a_token_of_one_owner_share_the_quota(
    setup: Setup, webs: tuple[Server, Server]
) -> None:
    by_session = webs[0].get("/api/jobs", cookies={"sessionid": setup.session})
    assert by_session.status_code == 200, by_session.text
    assert f"r={QUOTA - 1}" in by_session.headers["RateLimit"]
    assert f"r={QUOTA - 2}" in ask(webs[1], setup.of_grace).headers["RateLimit"]


def test_a_sync_view_and_a_faulty_request_count_once(
    setup: Setup, webs: tuple[Server, Server]
) -> None:
    answer = ask(webs[0], setup.tokens[3], "/api/quotas/in-a-thread")
    assert (answer.status_code, answer.json()) == (200, "owner-4")
    assert f"r={QUOTA - 1}" in answer.headers["RateLimit"]
    assert (
        f"r={QUOTA - 2}" in ask(webs[0], setup.tokens[3], "/api/jobs?limit=0").headers["RateLimit"]
    )


def test_a_public_route_counts_by_address_whatever_the_client_sends(
    webs: tuple[Server, Server],
) -> None:
    statuses = [
        from_address(
            webs[number % 2], "192.0.2.50", "/api/quotas/public", Authorization=f"Bearer {number}"
        ).status_code
        for number in range(QUOTA + 2)
    ]
    assert statuses == [200] * QUOTA + [429] * 2
    assert from_address(webs[0], "192.0.2.51", "/api/quotas/public").status_code == 200
    # What the client itself claims stands before what the proxy saw.
    claimed = from_address(webs[0], "192.0.2.99, 192.0.2.50", "/api/quotas/public")
    assert claimed.status_code == 429


def test_the_addresses_of_one_ipv6_network_share_a_quota(webs: tuple[Server, Server]) -> None:
    path = "/api/quotas/public"
    left = [
        from_address(webs[0], f"2001:db8::{number}", path).headers["RateLimit"] for number in (1, 2)
    ]
    assert f"r={QUOTA - 1}" in left[0]
    assert f"r={QUOTA - 2}" in left[1]


def test_a_route_with_both_counts_a_caller_by_owner_and_a_stranger_by_address(
    setup: Setup, webs: tuple[Server, Server]
) -> None:
    path = "/api/quotas/either"
    known = ask(webs[0], setup.tokens[4], path, **{"X-Forwarded-For": "192.0.2.60"})
    assert known.json() == "owner-5"
    assert known.headers["RateLimit"].startswith('"owner"')
    stranger = ask(webs[0], "wrong", path, **{"X-Forwarded-For": "192.0.2.60"})
    assert stranger.json() == "address 192.0.2.60"
    assert f'"address";r={QUOTA - 1}' in stranger.headers["RateLimit"]


def test_guessed_tokens_leave_nothing_in_redis_and_keys_expire(
    setup: Setup, webs: tuple[Server, Server]
) -> None:
    assert ask(webs[0], setup.tokens[5]).status_code == 200
    before = len(setup.counted_keys())
    for number in range(100):
        address = f"198.51.100.{number}"
        refused = ask(webs[0], f"guess-{number}", **{"X-Forwarded-For": address})
        assert refused.status_code == 401
        assert "RateLimit" not in refused.headers
    assert len(setup.counted_keys()) == before
    lives: list[Any] = [setup.redis.pttl(key) for key in setup.counted_keys()]
    assert all(0 < life <= WINDOW_SECONDS * 1000 for life in lives), lives


def test_the_document_names_the_headers_and_the_public_routes(
    webs: tuple[Server, Server],
) -> None:
    document = webs[0].get("/api/quotas/openapi.json").json()
    public = document["paths"]["/api/quotas/public"]["get"]
    assert public["security"] == [{}]
    assert {"RateLimit", "RateLimit-Policy"} <= public["responses"]["200"]["headers"].keys()
    assert "401" not in public["responses"]
    refused = document["components"]["responses"]["Problem429"]["headers"]
    assert {"RateLimit", "RateLimit-Policy", "Retry-After"} <= refused.keys()


def test_without_redis_requests_pass_or_are_refused_as_the_settings_say(
    setup: Setup, webs: tuple[Server, Server]
) -> None:
    token = setup.tokens[6]
    with setup.web(TEST_PASSES="0") as closed:
        for server in (webs[0], closed):
            assert "RateLimit" in ask(server, token).headers
        uncounted = webs[0].metric("offload_access_uncounted_total")

        setup.valkey.send_signal(signal.SIGSTOP)
        try:
            begun = time.monotonic()
            passed = [ask(webs[0], token) for _ in range(5)]
            refused = ask(closed, token)
            # Each waits half a second at most. Without a deadline each would wait for ever.
            assert time.monotonic() - begun < 25
        finally:
            setup.valkey.send_signal(signal.SIGCONT)

        assert {answer.status_code for answer in passed} == {200}
        assert not any("RateLimit" in answer.headers for answer in passed)
        assert webs[0].metric("offload_access_uncounted_total") == uncounted + 5
        assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
        assert ask(closed, "wrong").status_code == 401, "nobody learns of it without a token"

        for server in (webs[0], closed):
            eventually(lambda: "RateLimit" in ask(server, token).headers, "the count")  # noqa: B023
            server.says("Redis answers again")


def counted(port: int, requests: int, window: float, seconds: float = 5.0) -> Any:
    """A quota of this process, for a policy of its own."""
    from types import SimpleNamespace

    from offload.access import request_quota

    settings = SimpleNamespace(
        redis_url=f"redis://127.0.0.1:{port}/0",
        events_prefix="alone",
        requests_per_owner=requests,
        requests_per_address=0,
        request_quota_window=window,
        request_count_timeout=seconds,
        uncounted_requests_pass=False,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(request_quota, "conf", lambda: settings)
        made = request_quota.RequestQuota()
        made.open()
    return made


async def statuses(quota: Any, sharer: str, tries: int) -> list[int]:
    """What some requests at one time are answered."""
    from types import SimpleNamespace

    from offload.problems import Problem

    async def once_more() -> int:
        try:
            await quota.take(SimpleNamespace(), quota.per_owner, sharer)
        except Problem as problem:
            return problem.status
        return 200

    return list(await asyncio.gather(*(once_more() for _ in range(tries))))


def test_requests_at_one_time_get_no_more_than_the_quota_and_it_comes_back(setup: Setup) -> None:
    async def run() -> None:
        quota = counted(setup.redis_port, 20, WINDOW_SECONDS)
        assert sorted(await statuses(quota, "a", 50)) == [200] * 20 + [429] * 30
        # Owners' names may hold any character.
        assert await statuses(quota, "ü \ud800:*\n" * 40, 1) == [200]
        await quota.close()

        short = counted(setup.redis_port, 2, 1.0)
        await statuses(short, "b", 2)
        until = time.monotonic() + 30
        while await statuses(short, "b", 1) != [200]:
            assert time.monotonic() < until, "never came back"
            await asyncio.sleep(0.05)
        await short.close()

    asyncio.run(run())


def test_a_crowd_or_a_busy_event_loop_is_not_taken_for_a_slow_redis(setup: Setup) -> None:
    async def run() -> None:
        quota = counted(setup.redis_port, 20, WINDOW_SECONDS, seconds=0.3)
        assert await statuses(quota, "warm", 1) == [200]
        assert sorted(await statuses(quota, "crowd", 3000)) == [200] * 20 + [429] * 2980

        asked = asyncio.create_task(statuses(quota, "busy", 1))
        for _ in range(3):
            await asyncio.sleep(0)
        time.sleep(1)  # noqa: ASYNC251
        assert await asked == [200]
        await quota.close()

    # uvloop fires timers before it reads.
    uvloop.run(run())


def test_a_client_that_leaves_while_it_is_counted_harms_no_other(setup: Setup) -> None:
    async def run() -> None:
        quota = counted(setup.redis_port, 5, WINDOW_SECONDS)
        leaving = asyncio.create_task(statuses(quota, "left", 3))
        await asyncio.sleep(0)
        staying = asyncio.create_task(statuses(quota, "stays", 3))
        await asyncio.sleep(0)
        leaving.cancel()
        assert await staying == [200] * 3
        assert await statuses(quota, "stays", 3) == [200] * 2 + [429]
        await quota.close()

    asyncio.run(run())


def test_a_service_without_the_lifespan_says_so(setup: Setup) -> None:
    async def run() -> None:
        quota = counted(setup.redis_port, 5, WINDOW_SECONDS)
        await quota.close()
        with pytest.raises(RuntimeError, match=r"list offload\.access\.lifespan"):
            await statuses(quota, "a", 1)

    asyncio.run(run())


def test_a_redis_whose_clock_was_put_back_refuses_nobody(setup: Setup) -> None:
    async def run() -> None:
        quota = counted(setup.redis_port, 3, WINDOW_SECONDS)
        hours_ahead = int((time.time() + 10 * WINDOW_SECONDS) * 1e6)
        setup.redis.set("alone:requests:owner:late", hours_ahead, px=60_000)
        assert sorted(await statuses(quota, "late", 4)) == [200] * 3 + [429]
        await quota.close()

    asyncio.run(run())


def test_what_is_no_redis_counts_nothing_and_is_asked_by_one_request_at_a_time() -> None:
    async def run() -> None:
        asked = 0

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal asked
            asked += 1
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 50)
            writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        async with server:
            quota = counted(server.sockets[0].getsockname()[1], 5, WINDOW_SECONDS)
            assert await statuses(quota, "a", 1) == [503]
            before = asked
            assert await statuses(quota, "a", 200) == [503] * 200
            # The time to the next try may have passed, for one of them.
            assert asked - before <= 2
            await quota.close()

    asyncio.run(run())

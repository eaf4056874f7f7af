"""How often one caller may call: one quota for all web processes, kept in Redis."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import Server, eventually, migrate, once, web_process
from postgresql_server import free_port
from running_valkey import Valkey, running_valkey

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

    def __init__(self, service: Path, folder: Path, valkey: Valkey) -> None:
        self.service, self.folder, self.valkey = service, folder, valkey
        self.environment = {
            "DATABASE_URL": f"sqlite:///{folder / 'quota.sqlite3'}",
            "DJANGO_SETTINGS_MODULE": "quota_settings",
            "PYTHONPATH": str(folder),
            "REDIS_URL": valkey.url,
        }
        (folder / "quota_settings.py").write_text(SETTINGS)
        (folder / "quota_urls.py").write_text(URLS)
        migrate(service, self.environment["DATABASE_URL"])
        self.session, self.of_grace, *self.tokens = self.people()

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
        found: Any = self.valkey.client.keys("*:requests:*")
        return list(found)


@pytest.fixture(scope="module")
def setup(service: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Setup]:
    with running_valkey() as valkey:
        yield Setup(service, tmp_path_factory.mktemp("quota"), valkey)


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
    lives: list[Any] = [setup.valkey.client.pttl(key) for key in setup.counted_keys()]
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

        with setup.valkey.frozen():
            begun = time.monotonic()
            passed = [ask(webs[0], token) for _ in range(5)]
            refused = ask(closed, token)
            # Each waits half a second at most. Without a deadline each would wait for ever.
            assert time.monotonic() - begun < 25

        assert {answer.status_code for answer in passed} == {200}
        assert not any("RateLimit" in answer.headers for answer in passed)
        assert webs[0].metric("offload_access_uncounted_total") == uncounted + 5
        assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
        assert ask(closed, "wrong").status_code == 401, "nobody learns of it without a token"

        for server in (webs[0], closed):
            eventually(lambda: "RateLimit" in ask(server, token).headers, "the count")  # noqa: B023
            server.says("Redis answers again")

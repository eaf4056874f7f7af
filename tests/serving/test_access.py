"""Who gets in: limits on guessing, and what the log tells of those who try."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import Generated, Server, once

from offload.access.client_address import address_group
from offload.access.failure_limit import MAX_ADDRESSES, FailureLimit

pytestmark = once


@pytest.fixture(scope="module")
def ours(generated: Generated) -> Iterator[Server]:
    """A generated service with an administrator."""
    with generated() as server:
        yield server


def ask(server: Server, token: str, address: str) -> httpx.Response:
    """A request that a proxy on this machine passes on."""
    headers = {"Authorization": f"Bearer {token}", "X-Forwarded-For": address}
    return server.get("/api/jobs", headers=headers)


def logged(server: Server, event: str, client: str) -> list[dict[str, Any]]:
    """The lines of this event and this client address."""
    lines = [json.loads(line) for line in server.log.read_text().splitlines() if line[:1] == "{"]
    return [line for line in lines if event in line["event"] and line.get("client") == client]


def test_guessing_tokens_ends_in_429_for_the_address_that_guesses_alone(ours: Server) -> None:
    assert ask(ours, ours.token, "192.0.2.1").status_code == 200
    statuses = [ask(ours, f"guess-{number}", "192.0.2.1").status_code for number in range(40)]
    assert statuses == [401] * 30 + [429] * 10
    refused = ask(ours, "another", "192.0.2.1")
    assert 0 < int(refused.headers["Retry-After"]) <= 61
    assert refused.headers["Content-Type"] == "application/problem+json"
    assert ask(ours, ours.token, "192.0.2.1").status_code == 200, "it was valid before"
    assert ask(ours, "guess", "192.0.2.2").status_code == 401, "another address"
    assert len(logged(ours, "A token is not valid", "192.0.2.1")) == 29
    assert len(logged(ours, "Too many wrong tokens", "192.0.2.1")) == 1


def test_the_token_of_development_opens_nothing_without_debug(ours: Server) -> None:
    headers = {"Authorization": "Bearer dev-token"}
    assert ours.get("/api/jobs", headers=headers).status_code == 401


def test_a_forged_address_is_cut_before_it_is_kept(ours: Server) -> None:
    # As behind a proxy that passes on what its client sent.
    assert ask(ours, "guess", "forged-" * 1000).status_code == 401
    assert logged(ours, "A token is not valid", ("forged-" * 10)[:64])


def test_the_access_log_says_who_and_from_where(ours: Server) -> None:
    ask(ours, ours.token, "192.0.2.3, 192.0.2.4")
    (line,) = logged(ours, "GET /api/jobs 200", "192.0.2.4")
    assert line["owner"] == "ada", "the last address is what our proxy saw"
    assert ours.get("/api/ping", headers={"Host": "evil.example"}).status_code == 400
    assert logged(ours, "GET /api/ping 400", "127.0.0.1")


def test_a_forwarded_address_is_believed_from_proxies_alone(generated: Generated) -> None:
    with generated(FORWARDED_ALLOW_IPS="192.0.2.77") as server:
        answer = server.get(
            "/admin/", headers={"X-Forwarded-For": "198.51.100.1", "X-Forwarded-Proto": "https"}
        )
        assert answer.status_code == 302
        assert logged(server, "GET /admin/", "127.0.0.1")
        assert not logged(server, "GET /admin/", "198.51.100.1")


def log_in(server: Server, password: str, address: str) -> int:
    """Try to log in to the admin: 302 if it worked."""
    with httpx.Client(
        base_url=server.url, headers={"X-Forwarded-For": address}, trust_env=False, timeout=30
    ) as client:
        form = client.get("/admin/login/").text
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', form)
        assert token is not None
        data = {"csrfmiddlewaretoken": token[1], "username": "root", "password": password}
        return client.post("/admin/login/", data=data).status_code


def test_guessing_passwords_ends_without_another_password_checked(ours: Server) -> None:
    assert log_in(ours, "of-the-tests", "192.0.2.10") == 302
    with ThreadPoolExecutor(4) as clients:
        list(clients.map(lambda n: log_in(ours, f"guess-{n}", "192.0.2.11"), range(12)))
    assert log_in(ours, "of-the-tests", "192.0.2.11") == 200, "the right one is not checked either"
    assert log_in(ours, "of-the-tests", "192.0.2.12") == 302, "another address is"
    assert len(logged(ours, "Too many failed logins", "192.0.2.11")) == 1
    assert logged(ours, "A login failed", "192.0.2.11")[0]["user"] == "root"
    assert logged(ours, "A user logged in", "192.0.2.12")[0]["user"] == "root"
    assert "guess-1" not in ours.log.read_text()


# Logs in while two passwords are being checked, and while one is: prints whether it was refused.
LOGIN_BESIDE_OTHERS = """
import asyncio, sys
import django; django.setup()
from django.core.exceptions import PermissionDenied
from offload.access import login
from offload.access.app_config import app_config
login.CHECK_WAIT_SECONDS = 0.01
backend, checks = login.LimitedModelBackend(), app_config().login_limits.checks
def refused():
    try:
        if sys.argv[1] == "sync":
            backend.authenticate(None, "root", "guess")
        else:
            asyncio.run(backend.aauthenticate(None, "root", "guess"))
    except PermissionDenied:
        return True
    return False
checks.acquire(); checks.acquire()
print(refused())
checks.release()
print(refused())
"""


@pytest.mark.parametrize("way", ["sync", "async"])
def test_no_third_password_is_checked_while_two_are(service: Path, ours: Server, way: str) -> None:
    command = [sys.executable, "-c", LOGIN_BESIDE_OTHERS, way]
    ran = subprocess.run(
        command, check=True, cwd=service, env=ours.environment, capture_output=True, text=True
    )
    assert ran.stdout.split() == ["True", "False"]


def test_a_token_that_is_made_or_revoked_is_logged(service: Path, ours: Server) -> None:
    code = (
        "import django; django.setup(); from offload.access.models import ApiToken; "
        "ApiToken.make('eve'); ApiToken.objects.filter(owner='eve').delete()"
    )
    said = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        cwd=service,
        env=ours.environment,
        capture_output=True,
        text=True,
    ).stderr
    lines = [json.loads(line) for line in said.splitlines()]
    assert [(line["event"], line["token_owner"]) for line in lines] == [
        ("A token was made.", "eve"),
        ("A token was revoked.", "eve"),
    ]


def test_a_window_ends_and_old_addresses_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("offload.access.failure_limit.time.monotonic", lambda: now)
    limit = FailureLimit(2, 60.0)
    assert [limit.add_failure("a"), limit.add_failure("a")] == [False, True]
    assert limit.retry_after("a") == 61
    assert limit.retry_after("b") == 0
    now += 61
    assert limit.retry_after("a") == 0
    assert limit.add_failure("a") is False, "a new window"
    for number in range(MAX_ADDRESSES):
        limit.add_failure(f"address-{number}")
    assert len(limit._windows) == MAX_ADDRESSES


def test_the_addresses_of_one_ipv6_network_are_one() -> None:
    assert address_group("2001:db8::1") == address_group("2001:db8::ffff:1")
    assert address_group("2001:db8::1") != address_group("2001:db8:0:1::1")
    assert address_group("fe80::1%eth0") == "fe80::/64"
    assert address_group("192.0.2.1") == "192.0.2.1"
    assert address_group("a:strange:one") == "a:strange:one"

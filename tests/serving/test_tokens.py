"""The tokens of the API, on both databases: scopes, end, rotation, last use and revocation."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import Server, eventually, migrate, once, small_postgres, web_process

from offload.access import last_use
from offload.access.client_address import address_group

pytestmark = once
# A token that was checked is trusted for an hour: whatever ends it sooner is what is tested. Its
# last use is written every second.
LONG_TRUST = (
    "import runpy; from offload.access import last_use, tokens; "
    "tokens.TRUST_SECONDS = 3600.0; last_use.LAST_USE_INTERVAL_SECONDS = 1.0; "
    "runpy.run_module('offload.serving', run_name='__main__')"
)
# Runs the lines that it reads, and prints for each its output and its error.
SHELL = """
import contextlib, io, json, sys
import django; django.setup()
from django.core.management import call_command as manage
from offload.access.models import ApiToken
for line in sys.stdin:
    printed, error = io.StringIO(), ""
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(io.StringIO()):
        try:
            exec(json.loads(line), {"ApiToken": ApiToken, "json": json, "manage": manage})
        except BaseException as raised:
            error = str(raised) or repr(raised)
    print(json.dumps([printed.getvalue(), error]), flush=True)
"""
# What the API finds for a token in each of three states, and how many queries that costs.
ASK_EACH = """
from datetime import timedelta
from asgiref.sync import async_to_sync
from django.db import connection
from django.test import RequestFactory
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from config.urls import api

_, expired = ApiToken.make("ada", expires_at=timezone.now() - timedelta(days=1))
row, revoked = ApiToken.make("ada")
row.delete()
told = {}
for name, token in (("expired", expired), ("revoked", revoked), ("malformed", "x")):
    with CaptureQueriesContext(connection) as queries:
        found = async_to_sync(api.auth[0].authenticate)(RequestFactory().get("/api/jobs"), token)
    told[name] = [found, len(queries)]
print(json.dumps(told))
"""


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def ours(
    request: pytest.FixtureRequest, service: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A generated service on this database."""
    folder = tmp_path_factory.mktemp("tokens")
    command = (sys.executable, "-c", LONG_TRUST)

    def serve(url: str) -> Any:
        token = migrate(service, url)
        return web_process(service, folder, token, {"DATABASE_URL": url}, command=command)

    if request.param == "sqlite":
        with serve(f"sqlite:///{folder / 'tokens.sqlite3'}") as server:
            yield server
    else:
        with small_postgres() as database, serve(database.url) as server:
            yield server


@pytest.fixture(scope="module")
def shell(ours: Server, service: Path) -> Iterator["Shell"]:
    with subprocess.Popen(
        [sys.executable, "-c", SHELL],
        cwd=service,
        env=ours.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield Shell(process)
        process.kill()


class Shell:
    """Another process of the same service, which runs what it is sent."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process

    def execute(self, code: str, fails: bool = False) -> str:
        """What Python code prints, or its error; it has `ApiToken`, `manage` and `json`."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(code) + "\n")
        self.process.stdin.flush()
        printed, error = json.loads(self.process.stdout.readline())
        assert bool(error) == fails, error or printed
        return str(error or printed).strip()

    def manage(self, *arguments: str, fails: bool = False) -> str:
        """What `manage.py` prints with these arguments, or why it refuses them."""
        return self.execute(f"manage(*{arguments!r})", fails)

    def make(self, owner: str, *arguments: str) -> tuple[str, str]:
        """A new token, and its id."""
        token = self.manage("createtoken", owner, *arguments)
        return token, self.listed(owner)[0].split()[0]

    def listed(self, owner: str) -> list[str]:
        """The lines of `tokens list` about this owner."""
        lines = self.manage("tokens", "list").splitlines()
        return [line for line in lines if f"  {owner}  " in line]


def ask(server: Server, token: str, method: str = "GET") -> httpx.Response:
    """List jobs, or retry them, with this token."""
    path = "/api/jobs" if method == "GET" else "/api/jobs/retry"
    headers = {"Authorization": f"Bearer {token}"}
    body = {"json": {"kind": "none.such"}} if method == "POST" else {}
    with httpx.Client(base_url=server.url, timeout=30, trust_env=False) as client:
        return client.request(method, path, headers=headers, **body)  # type: ignore[arg-type]


def test_a_token_opens_what_its_scope_names(ours: Server, shell: Shell) -> None:
    for scope, reads, writes in (("read", 200, 403), ("write", 403, 200), ("read write", 200, 200)):
        token, _ = shell.make(f"scope-{scope.replace(' ', '-')}", "--scope", scope)
        assert ask(ours, token).status_code == reads, scope
        answer = ask(ours, token, "POST")
        assert answer.status_code == writes, answer.text
    refused = ask(ours, shell.make("reader", "--scope", "read")[0], "POST")
    assert refused.headers["Content-Type"] == "application/problem+json"
    assert refused.headers["WWW-Authenticate"] == (
        'Bearer error="insufficient_scope", scope="write"'
    )
    assert "`write`" in refused.json()["detail"]


@pytest.mark.parametrize("way", ["command", "expiry", "statement"])
def test_a_token_that_ends_opens_nothing_however_long_it_would_be_trusted(
    ours: Server, shell: Shell, way: str
) -> None:
    token, number = shell.make(f"ends-{way}")
    assert ask(ours, token).status_code == 200
    match way:
        case "command":
            shell.manage("tokens", "revoke", number)
        case "expiry":
            shell.execute(
                "from django.utils import timezone; "
                f"ApiToken.objects.filter(pk={number}).update(expires_at=timezone.now())"
            )
        case "statement":
            shell.execute(
                "from django.db import connection; "
                f"connection.cursor().execute('DELETE FROM offload_api_token WHERE id={number}')"
            )
    eventually(lambda: ask(ours, token).status_code == 401, "a 401")
    assert ask(ours, ours.token).status_code == 200


def test_a_scope_that_is_taken_away_opens_nothing_either(ours: Server, shell: Shell) -> None:
    token, number = shell.make("less")
    assert ask(ours, token, "POST").status_code == 200
    shell.execute(f"ApiToken.objects.filter(pk={number}).update(scope='read')")
    eventually(lambda: ask(ours, token, "POST").status_code == 403, "a 403")
    assert ask(ours, token).status_code == 200


def test_both_tokens_of_a_rotation_are_valid_until_the_old_one_ends(
    ours: Server, shell: Shell
) -> None:
    old, number = shell.make("turns", "--scope", "read", "--days", "30")
    new = shell.manage("tokens", "rotate", number, "--hours", "2")
    assert [ask(ours, token).status_code for token in (old, new)] == [200, 200]
    assert ask(ours, new, "POST").status_code == 403, "the scope stays"
    code = (
        "from django.utils import timezone; print(json.dumps([round("
        "(token.expires_at - timezone.now()).total_seconds() / 3600) "
        "for token in ApiToken.objects.filter(owner='turns').order_by('pk')]))"
    )
    assert json.loads(shell.execute(code)) == [2, 30 * 24]
    shell.manage("tokens", "rotate", number, "--hours", "5")
    assert json.loads(shell.execute(code))[0] == 2, "a rotation lengthens nothing"


def test_a_rotation_without_overlap_revokes_the_old_token(ours: Server, shell: Shell) -> None:
    old, number = shell.make("leaked")
    assert ask(ours, old).status_code == 200
    new = shell.manage("tokens", "rotate", number, "--hours", "0")
    eventually(lambda: ask(ours, old).status_code == 401, "a 401")
    assert ask(ours, new).status_code == 200
    said = shell.manage("tokens", "rotate", number, fails=True)
    assert f"no valid token {number}" in said


def test_the_last_use_of_a_token_is_written(ours: Server, shell: Shell) -> None:
    code = (
        "import asyncio; from django.apps import apps; "
        "used = apps.get_app_config('offload_access').last_use; token, _ = ApiToken.make('used'); "
        "used.add(token.digest); asyncio.run(used.write()); token.refresh_from_db(); "
        "first = token.last_used_at; used._written_at = float('-inf'); used.add(token.digest); "
        "asyncio.run(used.write()); token.refresh_from_db(); "
        "print(first is not None and first == token.last_used_at)"
    )
    assert shell.execute(code) == "True"
    assert "last used: never" not in shell.listed("used")[0]
    ask(ours, ours.token)
    eventually(lambda: "last used: never" not in shell.listed("ada")[0], "the last use")


async def test_many_uses_are_one_write_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("offload.access.last_use.time.monotonic", lambda: now)
    written: list[set[str]] = []
    monkeypatch.setattr("offload.access.last_use._write", written.append)
    uses = last_use.LastUse()
    for _ in range(3):
        uses.add("a")
        await uses.write()
    assert written == [{"a"}]
    now += last_use.LAST_USE_INTERVAL_SECONDS
    uses.add("b")
    await uses.write()
    await uses.write()
    assert written == [{"a"}, {"a", "b"}]


def test_an_expired_a_revoked_and_a_malformed_token_cost_the_same(
    ours: Server, shell: Shell
) -> None:
    """One query each. What an answer says and how long it takes do not tell which it was."""
    told = json.loads(shell.execute(ASK_EACH))
    assert told == {state: [None, 1] for state in ("expired", "revoked", "malformed")}
    gone, number = shell.make("gone")
    shell.manage("tokens", "revoke", number)
    answers = [ask(ours, token) for token in (gone, "x", "x" * 43)]
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.content for answer in answers}) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("bob", "--days", "0"), "--days is from 1"),
        (("bob", "--days", "-3"), "--days is from 1"),
        (("bob", "--scope", "admin"), "'admin' is no scope"),
        (("bob", "--scope", ""), "cannot be blank"),
        (("  ",), "cannot be blank"),
        (("b" * 151,), "at most 150"),
    ],
)
def test_a_token_that_nobody_could_mean_is_refused(
    ours: Server, shell: Shell, arguments: tuple[str, ...], said: str
) -> None:
    assert said in shell.manage("createtoken", *arguments, fails=True)
    assert not shell.listed("bob")


def test_ipv4_clients_of_a_listener_on_ipv6_are_counted_one_by_one() -> None:
    assert address_group("::ffff:192.0.2.1") == "192.0.2.1"
    assert address_group("::ffff:192.0.2.2") != address_group("::ffff:192.0.2.1")

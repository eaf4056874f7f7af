"""The name of one upstream that cannot be looked up delays no other upstream."""

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from chaos import until

import offload
from offload.fanout.http import httpx
from offload.fanout.resolver import ADDRESS_FRESH_SECONDS, ADDRESS_STALE_SECONDS, UpstreamResolver

pytestmark = pytest.mark.timeout(60)

HERE = Path(__file__).parent


def cannot_isolate() -> str:
    """Why no network namespace can be made here; empty if one can."""
    if os.geteuid() != 0 or not shutil.which("unshare") or not shutil.which("ip"):
        return "a network namespace needs root, unshare and ip"
    made = subprocess.run(["unshare", "-n", "-m", "true"], capture_output=True)
    return made.stderr.decode().strip() if made.returncode else ""


@pytest.mark.skipif("OFFLOAD_HTTPX" in os.environ, reason="lookups know nothing of httpx")
def test_names_that_hang_do_not_delay_an_upstream_that_is_well(tmp_path: Path) -> None:
    if reason := cannot_isolate():
        assert "REQUIRE_NETNS" not in os.environ, reason
        pytest.skip(reason)
    done = subprocess.run(
        [
            "unshare",
            "-n",
            "-m",
            sys.executable,
            str(HERE / "dns_in_namespace.py"),
            str(tmp_path),
        ],
        env=os.environ | {"PYTHONPATH": str(Path(offload.__file__).parent.parent)},
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert done.returncode == 0, done.stderr
    statuses = json.loads(done.stdout)
    assert statuses == ["ok"] * 3 + ["timeout"] * 6


class Names:
    """A lookup for tests: knows one name, counts its lookups, and can hang or fail."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses
        self.fault: Exception | None = None
        self.lookups = 0
        self.may_go_on = threading.Event()
        self.may_go_on.set()

    def __call__(self, host: str, port: int, **_: Any) -> list[Any]:
        self.lookups += 1
        assert self.may_go_on.wait(30)
        if self.fault:
            raise self.fault
        return [(socket.AF_INET, 1, 6, "", (address, port)) for address in self.addresses]


async def hosts(resolver: UpstreamResolver) -> list[str]:
    return [found["host"] for found in await resolver.resolve("prices.test", 80)]


def age(resolver: UpstreamResolver, seconds: float) -> None:
    """Make all known addresses older."""
    for known in resolver._known.values():
        known.found_at -= seconds


async def test_an_address_is_looked_up_once_for_all_who_ask_and_kept_for_a_while() -> None:
    names = Names("10.0.0.1", "10.0.0.2")
    resolver = UpstreamResolver(5, names)
    found = await asyncio.gather(*(hosts(resolver) for _ in range(10)))
    assert {tuple(sorted(each)) for each in found} == {("10.0.0.1", "10.0.0.2")}
    assert names.lookups == 1
    first = [(await hosts(resolver))[0] for _ in range(4)]
    assert sorted(first) == ["10.0.0.1"] * 2 + ["10.0.0.2"] * 2, "connections spread over all"
    age(resolver, ADDRESS_FRESH_SECONDS)
    await hosts(resolver)
    await until(lambda: names.lookups == 2)


async def test_old_addresses_are_used_while_a_lookup_hangs_and_one_thread_waits_for_it() -> None:
    names = Names("10.0.0.1")
    resolver = UpstreamResolver(5, names)
    await hosts(resolver)
    age(resolver, ADDRESS_FRESH_SECONDS)
    names.may_go_on.clear()
    names.addresses = ("10.0.0.9",)
    for _ in range(5):
        assert await hosts(resolver) == ["10.0.0.1"]
    # A thread counts it, a moment after it was started.
    await until(lambda: names.lookups == 2)
    names.may_go_on.set()
    await until(lambda: not resolver._running)
    assert names.lookups == 2
    assert await hosts(resolver) == ["10.0.0.9"]


@pytest.mark.parametrize(
    ("code", "used"),
    [(socket.EAI_AGAIN, True), (socket.EAI_FAIL, True), (socket.EAI_NONAME, False)],
)
async def test_old_addresses_are_used_after_a_failure_unless_the_name_is_gone(
    code: int, used: bool
) -> None:
    names = Names("10.0.0.1")
    resolver = UpstreamResolver(5, names)
    await hosts(resolver)
    age(resolver, ADDRESS_FRESH_SECONDS)
    names.fault = socket.gaierror(code, "no answer")
    if used:
        assert await hosts(resolver) == ["10.0.0.1"]
        age(resolver, ADDRESS_STALE_SECONDS)
    with pytest.raises(socket.gaierror):
        await hosts(resolver)


async def test_a_first_lookup_that_hangs_is_a_connect_timeout() -> None:
    names = Names("10.0.0.1")
    names.may_go_on.clear()
    resolver = UpstreamResolver(0.05, names)
    with pytest.raises(httpx.ConnectTimeout, match="name servers"):
        await hosts(resolver)
    names.may_go_on.set()
    await until(lambda: not resolver._running)
    assert await hosts(resolver) == ["10.0.0.1"]


async def test_a_lookup_for_which_there_is_no_thread_fails_and_the_next_one_is_tried(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    resolver = UpstreamResolver(5, Names("10.0.0.1"))
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        with pytest.raises(OSError, match="thread"):
            await hosts(resolver)
    assert await hosts(resolver) == ["10.0.0.1"]

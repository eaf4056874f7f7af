"""A process that has no file or thread left does not count that as a failure of an upstream."""

import errno
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread

import pytest
from chaos import Chaos, opened

from offload.fanout import CircuitBreaker, Retry, Upstream

pytestmark = pytest.mark.timeout(30)

SERVICE = Path(__file__).parents[2] / "{{cookiecutter.project_slug}}"
FEW_FILES = 512
EAGER = CircuitBreaker(minimum_throughput=5)
ONCE = Retry(attempts=1)


@contextmanager
def no_file_left() -> Iterator[None]:
    """A process that has as many files open as it may have."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (FEW_FILES, before[1]))
    held = []
    try:
        with suppress(OSError):
            while True:
                held.append(os.dup(0))
        yield
    finally:
        for each in held:
            os.close(each)
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


async def ask(upstream: Upstream, times: int) -> set[str]:
    """The statuses of so many calls, one after the other."""
    calls = [upstream.get_json("/ok", params={"n": number}) for number in range(times)]
    return {(await call.outcome()).status for call in calls}


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_process_without_a_free_file_does_not_cut_an_upstream_off(
    chaos: Chaos, host: str
) -> None:
    url = chaos.url.replace("127.0.0.1", host)
    async with opened(url, breaker=EAGER, retry=ONCE) as upstream:
        with no_file_left():
            # None of them is `open`: each has tried, and fails for its own reason.
            assert await ask(upstream, 10) == {"error"}
        assert upstream.client().circuit.state == "closed"
        assert await ask(upstream, 1) == {"ok"}


@pytest.mark.parametrize("looked_up_before", [True, False])
def test_a_lookup_without_a_free_file_says_so(looked_up_before: bool) -> None:
    """The system's resolver names the reason, unless it is the first lookup of the process."""
    code = """
import encodings.idna, os, resource, socket, sys
from offload.fanout.resolver import look_up

if sys.argv[1] == "True":
    socket.getaddrinfo("localhost", 80)
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
try:
    while True:
        os.dup(0)
except OSError:
    pass
try:
    look_up(socket.getaddrinfo, ("localhost", 80, 0))
except OSError as error:
    print(error.errno)
"""
    command = [sys.executable, "-c", code, str(looked_up_before)]
    printed = subprocess.check_output(command, cwd=SERVICE, text=True, timeout=30)
    assert int(printed) == errno.EMFILE


async def test_a_probe_without_a_free_file_does_not_decide(chaos: Chaos) -> None:
    async with opened(chaos.url, breaker=EAGER, retry=ONCE) as upstream:
        circuit = upstream.client().circuit
        circuit._open()
        circuit._break_ends_at -= upstream.breaker.break_duration
        with no_file_left():
            assert await ask(upstream, 3) == {"error"}
        assert circuit.state == "half-open"
        assert await ask(upstream, upstream.breaker.half_open_probes) == {"ok"}
        assert circuit.state == "closed"


async def test_a_process_without_a_thread_for_a_lookup_does_not_cut_an_upstream_off(
    chaos: Chaos, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(thread: Thread) -> None:
        raise RuntimeError("can't start new thread")

    url = chaos.url.replace("127.0.0.1", "localhost")
    async with opened(url, breaker=EAGER, retry=ONCE) as upstream:
        with monkeypatch.context() as patched:
            patched.setattr(Thread, "start", refuse)
            assert await ask(upstream, 10) == {"error"}
        assert await ask(upstream, 1) == {"ok"}


async def test_an_upstream_that_refuses_connections_is_still_cut_off(chaos: Chaos) -> None:
    url = "http://127.0.0.1:1"
    async with opened(url, breaker=EAGER, retry=ONCE) as upstream:
        assert await ask(upstream, 10) == {"error", "open"}

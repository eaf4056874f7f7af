"""The guard at run time, on a real uvicorn: code that blocks is named, code that waits is not."""

import asyncio
import gc
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from queue import Empty, Queue
from urllib.error import HTTPError

import pytest
from nets import HERE, SERVICE

from offload.guard.runtime.block_log import Block, LagLog
from offload.guard.runtime.gc_pauses import GcPause, GcPauses
from offload.guard.runtime.watchdog import Watchdog

pytestmark = pytest.mark.timeout(900)


@dataclass
class Served:
    """A running service: its address, process and log."""

    process: subprocess.Popen[bytes]
    log: Path
    # A view that waits answers when this file exists.
    may_answer: Path
    url: str = ""

    def get(self, path: str) -> Message:
        with urllib.request.urlopen(f"{self.url}/{path}", timeout=60) as answer:
            answer.read()
            return answer.headers

    def says(self, pattern: str) -> str:
        """The log, as soon as it says so."""
        until = time.monotonic() + 60
        while not re.search(pattern, self.log.read_text(), re.DOTALL):
            assert time.monotonic() < until, f"no {pattern!r} in:\n{self.log.read_text()}"
            time.sleep(0.05)
        return self.log.read_text()


@contextmanager
def serving(log: Path, loop: str, handler: str) -> Iterator[Served]:
    may_answer = log.with_name("may_answer")
    settings = {
        "DJANGO_SETTINGS_MODULE": "guarded_settings",
        "HANDLER": handler,
        "MAY_ANSWER": str(may_answer),
    }
    env = os.environ | {"PYTHONPATH": f"{SERVICE}{os.pathsep}{HERE}"} | settings
    options = ["--port", "0", "--lifespan", "on", "--loop", loop]
    command = [sys.executable, "-m", "uvicorn", "guarded_app:application", *options]
    with (
        log.open("wb") as file,
        subprocess.Popen(command, cwd=HERE, env=env, stdout=file, stderr=file) as process,
    ):
        served = Served(process, log, may_answer)
        try:
            # uvicorn says the port that it got.
            said = served.says(r"running on http://127.0.0.1:\d+ ")
            served.url = re.findall(r"running on (\S+)", said)[0]
            # The watchdog has begun to watch.
            time.sleep(0.3)
            yield served
        finally:
            process.terminate()
            process.wait(60)


@pytest.fixture
def served(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Served]:
    loop, _, handler = getattr(request, "param", "uvloop").partition(" ")
    with serving(tmp_path / "log", loop, handler or "lean") as found:
        yield found


on_both_loops = pytest.mark.parametrize("served", ["uvloop", "asyncio"], indirect=True)
on_both_handlers = pytest.mark.parametrize(
    "served", ["uvloop lean", "asyncio stock"], indirect=True
)


@on_both_loops
@pytest.mark.parametrize("view", ["sleeps", "computes"])
def test_a_blocked_loop_is_reported_with_its_line_function_and_request(
    served: Served, view: str
) -> None:
    headers = served.get(view)
    log = served.says(
        rf"guarded_app.py:\d+ {view} blocked the event loop for \d+ ms during GET /{view}"
    )
    assert view in str(headers["X-Offload-Blocked"])
    assert len(re.findall(f"{view} blocked the event loop", log)) == 1
    assert "What to do: docs/when-async-helps/" in log


@on_both_loops
def test_a_call_that_held_the_gil_is_reported_when_it_ends(served: Served) -> None:
    served.get("holds_the_gil")
    served.says(r"(holds_the_gil|has passed,) blocked the event loop for \d+ ms")


@asynccontextmanager
async def watched() -> AsyncIterator[tuple[list[Block], list[GcPause]]]:
    """What a watchdog reports of this event loop. After the block it has reported everything."""
    blocks: list[Block] = []
    pauses: list[GcPause] = []
    watchdog = Watchdog(
        asyncio.get_running_loop(),
        threshold=0.1,
        report=blocks.append,
        report_pause=pauses.append,
    )
    watchdog.start()
    await asyncio.sleep(0.3)
    yield blocks, pauses
    await watchdog.settle()
    await watchdog.stop()


async def test_two_blocks_in_a_row_are_reported_each_with_its_own_line() -> None:
    def computes() -> None:
        sum(range(20_000_000))

    def sleeps() -> None:
        time.sleep(0.6)

    async def call(blocking: Callable[[], None]) -> None:
        blocking()

    async with watched() as (reported, _):
        # Between the two calls the loop runs nothing else.
        await asyncio.gather(call(computes), call(sleeps))
    assert [block.place.rpartition(".")[2] for block in reported] == ["computes", "sleeps"]


@pytest.fixture
def garbage() -> Iterator[int]:
    """So many objects that only the garbage collector frees, in more than 0.1 s."""
    count = 1_500_000
    gc.disable()
    for _ in range(count):
        circle: list[object] = []
        circle.append(circle)
    # The frame of this function would keep the last one.
    del circle
    yield count
    gc.enable()


async def test_a_garbage_collection_is_named_and_no_line_is_accused(garbage: int) -> None:
    def collects() -> None:
        gc.collect()

    async with watched() as (blocks, pauses):
        asyncio.get_running_loop().call_soon(collects)
        await asyncio.sleep(0.3)
    assert blocks == []
    (pause,) = pauses
    assert pause.seconds > 0.05
    assert pause.collected >= garbage
    assert re.match(r"garbage collection stopped the process for \d+ ms \(gen", str(pause))


async def test_beside_a_garbage_collection_a_line_is_accused_of_its_own_time(garbage: int) -> None:
    def sleeps_and_collects() -> None:
        time.sleep(0.4)
        gc.collect()

    async with watched() as (blocks, pauses):
        began = time.monotonic()
        asyncio.get_running_loop().call_soon(sleeps_and_collects)
        await asyncio.sleep(0.01)
        blocked = time.monotonic() - began
    (block,), (pause,) = blocks, pauses
    assert "sleeps_and_collects" in block.place
    assert block.seconds < blocked - pause.seconds + pause.waited


async def test_a_report_shows_the_lines_of_the_project_and_the_innermost_of_a_library() -> None:
    async def waits_for_a_queue() -> None:
        with suppress(Empty):
            Queue[None]().get(timeout=0.5)

    async with watched() as (reported, _):
        await asyncio.create_task(waits_for_a_queue())
    [block] = reported
    own, innermost = block.stack
    assert re.search(r"test_runtime.py:\d+ .*waits_for_a_queue$", own)
    assert re.search(r"threading.py:\d+ Condition.wait$", innermost), "queue.py is left out"


def test_a_report_leaves_out_the_lines_of_the_server_and_of_the_standard(served: Served) -> None:
    served.get("sleeps")
    log = served.says(r"sleeps blocked the event loop.*What to do")
    report = log.partition(" during GET /sleeps\n")[2].partition("What to do")[0]
    assert re.fullmatch(r"\s+guarded_app.py:\d+ sleeps\s+", report), report


def test_the_start_is_not_reported_although_it_blocks_the_loop(served: Served) -> None:
    served.get("fine")
    served.says("the start collects garbage")
    assert "blocked the event loop" not in served.log.read_text()


async def test_the_longest_lag_since_a_moment_is_that_of_the_block_in_it() -> None:
    lags = LagLog()
    watchdog = Watchdog(
        asyncio.get_running_loop(), threshold=0.1, report=lambda _: None, lag=lags.add
    )
    watchdog.start()
    before, deadline = time.monotonic(), time.monotonic() + 30
    # A busy machine may keep the watchdog's thread from asking at once.
    while lags.worst_since(before) < 0.3:
        assert time.monotonic() < deadline
        time.sleep(0.5)  # noqa: ASYNC251  # the block that is tested
        await asyncio.sleep(0.2)
    await watchdog.stop()
    assert lags.worst_since(time.monotonic()) == 0.0


async def test_a_watchdog_that_was_never_started_stops() -> None:
    watchdog = Watchdog(asyncio.get_running_loop(), threshold=0.1, report=print)
    await asyncio.wait_for(watchdog.stop(), 1)


def test_a_loop_that_only_waits_is_not_accused(served: Served) -> None:
    for _ in range(50):
        served.get("fine")
    assert "blocked the event loop" not in served.log.read_text()


def test_a_slow_request_is_logged_once_with_where_it_waits(served: Served) -> None:
    served.get("waits")
    log = served.says(r"GET /waits has no answer after 1.0 s: it waits at guarded_app.py:\d+ waits")
    assert log.count("has no answer") == 1


def test_who_waits_as_long_as_the_caller_asked_is_not_slow(served: Served) -> None:
    served.get("long_poll")
    assert "has no answer" not in served.log.read_text()


@on_both_handlers
def test_a_slow_request_in_a_thread_is_logged_with_the_line_there(served: Served) -> None:
    lines = {
        "waits": r"guarded_app.py:\d+ waits",
        "sleeps_in_its_thread": r"guarded_app.py:\d+ pause",
        "waits_for_its_thread": r"guarded_app.py:\d+ pause",
        "goes_back_to_the_loop": r"guarded_app.py:\d+ waits",
        # The service has no line here, so the thread's innermost function is named.
        "library": r"\S*threading.py:\d+ Condition.wait",
    }
    with ThreadPoolExecutor(len(lines)) as pool:
        calls = {view: pool.submit(served.get, view) for view in lines}
        for view, line in lines.items():
            served.says(rf"GET /{view} has no answer after 1.0 s: it waits at {line}\n")
    assert isinstance(calls["library"].exception(), HTTPError), "nothing was in the queue"
    assert served.log.read_text().count("has no answer") == len(lines)


def test_a_call_that_holds_the_gil_is_dumped_while_it_lasts(served: Served) -> None:
    served.get("hangs")
    served.says(r'Timeout \(.*File "[^"]*guarded_app.py", line \d+ in hangs')


def test_a_python_loop_is_dumped_while_it_lasts(served: Served) -> None:
    """Not by faulthandler: that would read the loop's frames while they change."""
    with ThreadPoolExecutor(1) as pool:
        looping = pool.submit(served.get, "loops")
        served.says(r"blocked for more than 1.0 s.*threads:.*guarded_app.py:\d+ loops")
        served.may_answer.touch()
        assert looping.result(60), "the service went on"


def test_sigusr1_does_no_harm_to_threads_that_run() -> None:
    """With the frames of running threads, faulthandler ended the process by SIGSEGV."""
    ran = subprocess.run(
        [sys.executable, HERE / "signalled.py"],
        env={**os.environ, "PYTHONPATH": str(SERVICE)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    assert "in compute" not in ran.stderr, "faulthandler reads the main thread alone"
    assert re.search(r"\d+ threads:.*signalled.py:\d+ compute\n", ran.stderr, re.DOTALL)


def test_sigusr1_prints_every_task_and_thread(served: Served) -> None:
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(served.get, "held")
        # It is under way for a second when this is logged.
        served.says("GET /held has no answer")
        served.process.send_signal(signal.SIGUSR1)
        served.says(r"asyncio tasks:.*GET /held")
        # Among the tasks while it waits, and in the main thread where the signal met it running.
        served.says(r"\d+ threads:.*guarded_app.py:\d+ held")
        served.says(r"\d+ threads:.*offload-watchdog\n    \S*threading.py:\d+ Thread._bootstrap\n")
        served.may_answer.touch()
        assert waiting.result(60), "the service went on"


def test_a_collection_while_the_pauses_are_read_does_no_harm(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each object that is made may begin one, and its callback adds a pause."""
    monkeypatch.setattr("offload.guard.runtime.gc_pauses.KEPT_SECONDS", 0.0)
    pauses, threshold = GcPauses(), gc.get_threshold()
    pauses.start()
    try:
        gc.collect()
        gc.set_threshold(1)
        for _ in range(1000):
            assert pauses.since(0.0)
    finally:
        gc.set_threshold(*threshold)
        pauses.stop()

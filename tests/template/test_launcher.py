"""The launcher without a service: what is left when one of its processes is killed, or its folder.

The kernel ends the children of a killed process on Linux alone; elsewhere the launcher names what
is left.
"""

import fcntl
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import termios
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.message import Message as Headers
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from waiting import wait_until

from offload_dev.launcher import ports
from offload_dev.launcher.repeated_errors import RepeatedErrors

from .conftest import ROOT, run
from .running_demo import MARK, processes

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells of a dead parent")
LAUNCHER = """
import sys
from offload_dev.launcher.manager import ServiceManager
from offload_dev.launcher.output import NonBlockingOutput, ProcessPrinter

manager = ServiceManager(ProcessPrinter(NonBlockingOutput(sys.stdout)))
for number, command in enumerate(sys.argv[1:]):
    manager.add_process(f"process{number}", command)
manager.loop()
sys.exit(manager.returncode)
"""
PYTHON = sys.executable
WAITS = "import time; print('started', flush=True); time.sleep(600)"
RELOADED = f"exec {PYTHON} -m offload_dev.launcher.reloader {PYTHON} main.py"
# Its child keeps the pipe of the lines open, is in a session of its own and ignores SIGTERM.
LEAVES_A_CHILD = (
    "import signal, subprocess, sys, time\n"
    "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "if sys.argv[1:]:\n"
    "    print('child', flush=True)\n"
    "    time.sleep(600)\n"
    "subprocess.run([sys.executable, __file__, 'child'], start_new_session=True)\n"
)


class Launched:
    """The launcher with some commands, in a folder of its own."""

    def __init__(
        self, folder: Path, *commands: str, code: str = WAITS, stdout: int | None = None
    ) -> None:
        self.folder = folder
        (folder / "service").mkdir()
        (folder / "service" / "main.py").write_text(code)
        self.log = folder / "log.txt"
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                [PYTHON, "-u", "-c", LAUNCHER, *commands],
                cwd=folder / "service",
                env=os.environ
                | {
                    "PYTHONPATH": str(ROOT / "{{cookiecutter.project_slug}}"),
                    "PYTHONUNBUFFERED": "1",
                    MARK: str(folder),
                },
                stdout=output if stdout is None else stdout,
                stderr=output,
                start_new_session=True,
            )

    def printed(self) -> str:
        return self.log.read_text()

    def wait(self, condition: Callable[[], bool]) -> None:
        wait_until(condition, "the launcher", 60, logs=self._state)

    def _state(self) -> str:
        return f"{processes(self.folder)}\n{self.printed()}"

    def pid(self, arguments: str) -> int:
        """The process of Python with these arguments."""
        found = [
            pid
            for pid, command in processes(self.folder).items()
            if command.startswith(f"{PYTHON} {arguments}")
        ]
        assert len(found) == 1, processes(self.folder)
        return found[0]

    def ended(self) -> int:
        """The launcher's exit status, when nothing is left of what it has started."""
        status = self.process.wait(60)
        self.wait(lambda: not processes(self.folder))
        return status


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Callable[..., Launched]]:
    started: list[Launched] = []

    def start(*commands: str, **more: Any) -> Launched:
        started.append(Launched(tmp_path, *commands, **more))
        return started[-1]

    yield start
    for each in started:
        for pid in processes(each.folder):
            os.kill(pid, signal.SIGKILL)
        each.process.wait(60)


Launch = Callable[..., Launched]


@LINUX
def test_a_killed_reloader_ends_its_command_and_the_service(launch: Launch) -> None:
    launched = launch(RELOADED, "exec sleep 600")
    launched.wait(lambda: "| started" in launched.printed())
    os.kill(launched.pid("-m offload_dev.launcher.reloader"), signal.SIGKILL)
    launched.ended()
    assert "process0 stopped (rc=-9)" in launched.printed()
    assert "sending SIGKILL" not in launched.printed()


# It fails when it is told to stop, as a worker does whose broker is gone.
FAILS_AT_ITS_STOP = """
import pathlib, signal, time

def stop(*_):
    try:
        raise OSError("the broker is gone")
    except OSError:
        raise RuntimeError("cannot say goodbye")

signal.signal(signal.SIGTERM, stop)
pathlib.Path("ready").touch()
time.sleep(600)
"""


def test_what_follows_from_the_end_of_a_process_is_in_the_file_alone(launch: Launch) -> None:
    launched = launch(
        f"exec {PYTHON} main.py",
        "until [ -e ready ]; do sleep 0.05; done; kill -KILL $$",
        code=FAILS_AT_ITS_STOP,
    )
    assert launched.ended() != 0
    printed = launched.printed()
    assert "Traceback" not in printed
    assert "another exception" not in printed
    assert "The service has stopped, because process1 was killed (SIGKILL)." in printed
    kept = (launched.folder / "service" / "var" / "log" / "launcher.log").read_text()
    assert "process0 | RuntimeError: cannot say goodbye" in kept


def test_the_traceback_of_a_process_that_has_ended_by_itself_is_printed(launch: Launch) -> None:
    launched = launch("exec sleep 600", f"exec {PYTHON} main.py", code="raise OSError('no disk')")
    assert launched.ended() == 1
    assert "OSError: no disk" in launched.printed()
    assert "because process1 ended with status 1." in launched.printed()


def test_a_traceback_at_a_stop_that_was_asked_for_is_printed(launch: Launch) -> None:
    launched = launch(f"exec {PYTHON} main.py", code=FAILS_AT_ITS_STOP)
    launched.wait(lambda: (launched.folder / "service" / "ready").exists())
    launched.process.terminate()
    assert launched.ended() == 143
    assert "RuntimeError: cannot say goodbye" in launched.printed()
    assert "because" not in launched.printed()


@LINUX
@pytest.mark.parametrize("number", [0, 1])
def test_a_killed_reader_of_lines_ends_the_service(launch: Launch, number: int) -> None:
    launched = launch(RELOADED, "exec sleep 600")
    launched.wait(lambda: "| started" in launched.printed())
    readers = subprocess.check_output(["pgrep", "--parent", str(launched.process.pid)], text=True)
    os.kill(int(readers.split()[number]), signal.SIGKILL)
    assert launched.ended() == 137
    assert "the reader of its lines ended with status -9" in launched.printed()


@LINUX
@pytest.mark.parametrize("started", [2, 3, 4])
def test_ctrl_c_stops_a_launcher_that_starts_its_processes(launch: Launch, started: int) -> None:
    launched = launch(RELOADED, "exec sleep 600", "exec sleep 601")
    deadline = time.monotonic() + 60
    # The launcher and the first readers, but not all of them.
    while len(processes(launched.folder)) < started:
        assert time.monotonic() < deadline, launched.printed()
    os.killpg(launched.process.pid, signal.SIGINT)
    assert launched.ended() == 130
    assert "Traceback" not in launched.printed()


@LINUX
@pytest.mark.parametrize(
    ("stand_in", "condition"),
    [
        ("honcho.py", "True"),
        # Python imports this file at each start.
        ("sitecustomize.py", "'migrate' in sys.orig_argv"),
    ],
    ids=["while it imports", "while it migrates"],
)
def test_ctrl_c_before_the_processes_start_prints_no_traceback(
    with_example: Path, tmp_path: Path, stand_in: str, condition: str
) -> None:
    with starting(with_example, tmp_path, stand_in, condition) as launcher:
        os.killpg(launcher.pid, signal.SIGINT)
        assert launcher.wait(60) == -signal.SIGINT
        wait_until(lambda: not processes(tmp_path), "no process", 60)
    assert (tmp_path / "log.txt").read_text() == "waits\n"


@LINUX
def test_a_second_launcher_of_the_same_database_is_refused(
    with_example: Path, tmp_path: Path
) -> None:
    """Each would have a broker of its own, and not hear of the other's jobs."""
    with starting(with_example, tmp_path, "sitecustomize.py", "'migrate' in sys.orig_argv"):
        port = str(ports.first_free_port(5))
        told = run(PYTHON, "-m", "offload_dev.launcher", "serve", cwd=with_example, PORT=port)
    assert told.returncode == 1
    assert "Another `make dev` or `make serve` runs with the database" in told.stdout
    assert "Traceback" not in told.stdout


@contextmanager
def starting(
    project: Path, folder: Path, stand_in: str, condition: str
) -> Iterator["subprocess.Popen[bytes]"]:
    """A launcher that stands still in its start: a stand-in of a module waits under a condition."""
    waits = f"import sys, time\nif {condition}: print('waits', flush=True); time.sleep(600)\n"
    (folder / stand_in).write_text(waits)
    log = folder / "log.txt"
    environment = {"PORT": str(ports.first_free_port(5)), "PYTHONPATH": str(folder)}
    with log.open("wb") as output:
        launcher = subprocess.Popen(
            [PYTHON, "-m", "offload_dev.launcher", "dev"],
            cwd=project,
            env=os.environ | environment | {MARK: str(folder)},
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        wait_until(lambda: "waits" in log.read_text(), "the wait", 60, logs=log.read_text)
        yield launcher
    finally:
        for pid in processes(folder):
            os.kill(pid, signal.SIGKILL)
        launcher.wait(60)


@pytest.mark.parametrize("reader", ["stands still", "is gone"])
def test_a_launcher_whose_lines_nobody_reads_stops_when_told(launch: Launch, reader: str) -> None:
    """A full pipe, or a terminal that was closed."""
    lines = 200 if reader == "stands still" else 0
    printed = f"('x' * 1000 + '\\n') * {lines} + 'started'"
    code = f"import time; print({printed}, flush=True); time.sleep(600)"
    read, write = os.pipe()
    launched = launch(RELOADED, code=code, stdout=write)
    os.close(write)
    if lines:
        # Half of what a pipe takes is there, and the rest follows.
        launched.wait(lambda: waiting_bytes(read) > 32_000)
    else:
        while b"started\n" not in os.read(read, 65_536):
            pass
        os.close(read)
    launched.process.send_signal(signal.SIGTERM)
    assert launched.ended() == 143
    assert "Traceback" not in launched.printed()
    if lines:
        os.close(read)


def waiting_bytes(pipe: int) -> int:
    """How many bytes of the pipe nobody has read."""
    waiting = fcntl.ioctl(pipe, termios.FIONREAD, bytes(4))
    return int.from_bytes(waiting, sys.byteorder)


@LINUX
def test_a_killed_launcher_leaves_nothing_behind(launch: Launch) -> None:
    launched = launch(RELOADED, "exec sleep 600")
    launched.wait(lambda: "| started" in launched.printed())
    launched.process.kill()
    launched.ended()


def test_ctrl_c_ends_the_launcher_although_it_cannot_kill_what_a_process_has_left(
    launch: Launch,
) -> None:
    launched = launch(f"exec {PYTHON} main.py", code=LEAVES_A_CHILD)
    launched.wait(lambda: "child" in launched.printed())
    left = launched.pid(str(launched.folder / "service" / "main.py") + " child")
    launched.process.send_signal(signal.SIGINT)
    assert launched.process.wait(60) == 137
    assert launched.printed().count("sending SIGKILL") == 1
    assert re.search(r"process0 was killed, and .* still runs: end it yourself", launched.printed())
    assert set(processes(launched.folder)) == {left}


def test_a_service_whose_folder_was_deleted_stops_when_told(launch: Launch) -> None:
    launched = launch(RELOADED)
    launched.wait(lambda: "| started" in launched.printed())
    shutil.rmtree(launched.folder / "service")
    launched.wait(lambda: "at its start" in launched.printed())
    launched.process.terminate()
    launched.ended()
    assert "sending SIGKILL" not in launched.printed()


@LINUX
def test_a_killed_embedded_valkey_leaves_no_server(launch: Launch) -> None:
    port = ports.first_free_port(1)

    def answers() -> bool:
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", port)) == 0

    run = f"from offload_dev.launcher.embedded_valkey import run; run({port})"
    launched = launch(f'exec {PYTHON} -c "{run}"')
    launched.wait(answers)
    os.kill(launched.pid("-c from offload_dev.launcher.embedded_valkey"), signal.SIGKILL)
    launched.ended()
    launched.wait(lambda: not answers())


TRACEBACK = [
    "Traceback (most recent call last):",
    '  File "%s", line 1, in <module>',
    "    import config.env",
    '  File "config/env.py", line 3, in <module>',
    "    import nothing",
    "ModuleNotFoundError: No module named 'nothing'",
]


def test_an_error_of_several_processes_is_printed_once() -> None:
    errors = RepeatedErrors()
    printed: list[str] = []
    # The lines of the processes come mixed.
    for number, line in enumerate(TRACEBACK):
        for name in ("web", "cpu", "default"):
            begin = line % f"{name}.py" if number == 1 else line
            printed += errors.choose(name, begin)
    whole = [line % "web.py" if number == 1 else line for number, line in enumerate(TRACEBACK)]
    again = f"{TRACEBACK[-1]} (the traceback is above, of web)"
    assert printed == [*whole, again, again]

    # The process itself prints it again: a view that fails twice does so in two places of the log.
    assert [each for line in whole for each in errors.choose("web", line)] == whole
    other = [*whole[:-1], "ModuleNotFoundError: No module named 'another'"]
    assert [each for line in other for each in errors.choose("cpu", line)] == other
    assert errors.choose("web", "a line") == ["a line"]


def test_what_an_ended_process_has_not_completed_is_printed_at_the_end() -> None:
    errors = RepeatedErrors()
    for line in TRACEBACK[:2]:
        assert errors.choose("web", line) == []
    assert list(errors.rest()) == [("web", line) for line in TRACEBACK[:2]]


def test_an_answer_that_is_an_error_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python 3.14 warns of one that is not, and a warning fails a test of a service."""
    answers: list[urllib.error.HTTPError] = []

    def busy(url: str, timeout: float) -> None:
        answers.append(urllib.error.HTTPError(url, 503, "busy", Headers(), BytesIO(b"")))
        raise answers[-1]

    monkeypatch.setattr(urllib.request, "urlopen", busy)
    assert not ports.wait_for_answer("http://127.0.0.1/", 60, lambda: len(answers) < 2)
    assert [answer.closed for answer in answers] == [True, True]

"""The reloader, without a service: it restarts a command, ends it, and says what it does."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from watchfiles import Change

from offload_dev.launcher import stop_timeouts
from offload_dev.launcher.reloader import QUIET_SECONDS, Reloader, RestartFilter

from .conftest import ROOT
from .running_demo import write_at_once

WAITS = "import time; print('started', flush=True); time.sleep(60)"
# This command ends neither by itself nor by SIGTERM.
IS_STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {WAITS}"


class Reloaded:
    """A command under the reloader, in a folder of its own."""

    def __init__(self, folder: Path, code: str) -> None:
        self.folder, self.log = folder, folder / "log.txt"
        (folder / "main.py").write_text(code)
        command = [sys.executable, "-m", "offload_dev.launcher.reloader", sys.executable, "main.py"]
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                command,
                cwd=folder,
                env={"PYTHONPATH": str(ROOT / "{{cookiecutter.project_slug}}")},
                stdout=output,
                stderr=output,
            )

    def printed(self) -> str:
        return self.log.read_text()

    def wait(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < deadline, self.printed()
            time.sleep(0.05)

    def wait_until_it_watches(self) -> None:
        """The command runs, and the reloader will see a change (it starts to look later)."""
        self.wait(lambda: "started" in self.printed())
        if Path("/proc/self/fdinfo").exists():
            self.wait(self._watches)
        else:
            time.sleep(1)

    def _watches(self) -> bool:
        """Whether Linux has been asked to tell of changes (inotify)."""
        for info in Path(f"/proc/{self.process.pid}/fdinfo").iterdir():
            with suppress(OSError):
                if "inotify wd:" in info.read_text():
                    return True
        return False


@pytest.fixture
def reload(tmp_path: Path) -> Iterator[Callable[[str], Reloaded]]:
    started: list[Reloaded] = []

    def start(code: str) -> Reloaded:
        started.append(Reloaded(tmp_path, code))
        return started[-1]

    yield start
    for each in started:
        each.process.terminate()
        each.process.wait(60)


def test_it_restarts_the_command_when_code_changes(reload: Callable[[str], Reloaded]) -> None:
    reloaded = reload(WAITS)
    reloaded.wait_until_it_watches()
    (reloaded.folder / "notes.md").write_text("No code.")
    time.sleep(1)
    write_at_once(reloaded.folder / "other.py", "code = True")
    reloaded.wait(lambda: reloaded.printed().count("started") == 2)
    assert reloaded.printed().splitlines() == ["started", "other.py changed: restarting", "started"]


def test_files_that_change_one_by_one_restart_the_command_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As `git checkout` and an update of the standard change them."""
    now = 100.0
    monkeypatch.setattr("offload_dev.launcher.reloader.time.monotonic", lambda: now)
    restarts: list[str] = []
    reloader = Reloader(["true"])
    monkeypatch.setattr(reloader, "_restart", restarts.append)
    for name in ("api.py", "jobs.py", "models.py", "urls.py"):
        # Between two of them the reloader looks whether the command still runs.
        reloader._look({str(Path(name).absolute())})
        now += QUIET_SECONDS / 2
        reloader._look(set())
    assert restarts == []
    now += QUIET_SECONDS / 2
    reloader._look(set())
    assert restarts == ["api.py, jobs.py, models.py and more changed"]


def test_code_of_the_tests_and_of_the_sandbox_restarts_no_other_command(
    reload: Callable[[str], Reloaded],
) -> None:
    reloaded = reload(WAITS)
    reloaded.wait_until_it_watches()
    for folder in ("tests", "sandbox"):
        (reloaded.folder / folder).mkdir()
        (reloaded.folder / folder / "code.py").write_text("code = True")
    time.sleep(2)
    assert reloaded.printed() == "started\n"


def test_a_command_that_dies_restarts_while_other_files_are_written_all_the_time(
    reload: Callable[[str], Reloaded],
) -> None:
    """SQLite's file in var/ is written several times a second while jobs run."""
    reloaded = reload(f"{WAITS.replace('60', '3')}; raise SystemExit(5)")
    reloaded.wait(lambda: "started" in reloaded.printed())

    def write_and_look() -> bool:
        (reloaded.folder / "db.sqlite3").write_text(str(time.monotonic()))
        return "ended with status 5" in reloaded.printed()

    reloaded.wait(write_and_look)


def test_a_command_that_stops_when_told_ends_with_status_0(
    reload: Callable[[str], Reloaded],
) -> None:
    reloaded = reload(WAITS)
    reloaded.wait(lambda: "started" in reloaded.printed())
    reloaded.process.send_signal(signal.SIGTERM)
    assert reloaded.process.wait(60) == 0
    assert reloaded.printed() == "started\n"


def test_a_command_that_does_not_stop_is_killed_and_the_log_says_so(
    reload: Callable[[str], Reloaded],
) -> None:
    reloaded = reload(IS_STUBBORN)
    reloaded.wait(lambda: "started" in reloaded.printed())
    reloaded.process.send_signal(signal.SIGTERM)
    assert reloaded.process.wait(60) == 137
    assert "did not stop within 8 s: killing it" in reloaded.printed()


def test_each_program_waits_longer_than_those_it_stops() -> None:
    inner_to_outer = [
        stop_timeouts.PROCESS_STOP_TIMEOUT_SECONDS,
        stop_timeouts.BROKER_STOP_TIMEOUT_SECONDS,
        stop_timeouts.LAUNCHER_STOP_TIMEOUT_SECONDS,
    ]
    assert inner_to_outer == sorted(set(inner_to_outer))


@pytest.mark.parametrize(
    ("change", "path", "restarts"),
    [
        (Change.modified, "/desk/weather/api.py", True),
        (Change.deleted, "/desk/weather/api.py", True),
        (Change.added, "/desk/weather/static", True),
        (Change.deleted, "/desk/weather/templates", True),
        (Change.modified, "/desk/weather/templates", False),
        (Change.modified, "/desk/weather/templates/page.html", False),
        (Change.added, "/desk/weather/static/sun.png", False),
        (Change.modified, "/desk/README.md", False),
        (Change.modified, "/desk/.venv/lib/django/apps.py", False),
    ],
)
def test_code_and_new_folders_of_templates_and_static_files_need_a_restart(
    change: Change, path: str, restarts: bool
) -> None:
    assert RestartFilter()(change, path) is restarts

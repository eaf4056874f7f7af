"""The runner of the suites runs once more what failed, and says so."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import suite
from waiting import wait_until

from .conftest import BIN, ROOT, run

STABLE = "def test_stable(): pass\n"
# Fails where it has not run before.
ONCE = """
from pathlib import Path

def test_once():
    ran = Path(__file__).with_name("ran")
    if not ran.exists():
        ran.touch()
        raise AssertionError("the machine stood still")
"""
ALWAYS = "def test_always():\n    open('runs', 'a').write('x'); raise AssertionError\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of tests, in which pytest runs."""
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def printed(capfd: pytest.CaptureFixture[str]) -> list[str]:
    return [line for line in capfd.readouterr().out.splitlines() if line.startswith("UNSTABLE")]


def test_what_passes_the_second_time_is_named(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (folder / "test_a.py").write_text(STABLE + ONCE)
    assert suite.run(["-q"]) == 0
    assert printed(capfd) == [
        "UNSTABLE: test_a.py::test_once failed, and passed when it was run again"
    ]


def test_what_fails_twice_fails_the_run(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (folder / "test_a.py").write_text(STABLE + ONCE)
    (folder / "test_b.py").write_text(ALWAYS)
    assert suite.run(["-q"]) == 1
    assert (folder / "runs").read_text() == "xx"
    assert printed(capfd) == []


def test_many_failures_are_no_accident(folder: Path) -> None:
    (folder / "test_a.py").write_text(ONCE)
    (folder / "test_b.py").write_text(ALWAYS)
    assert suite.run(["-q"], max_again=1) == 1
    assert (folder / "runs").read_text() == "x"


@pytest.mark.parametrize(("text", "code"), [("import nothing_of_this_name", 2), ("", 5)])
def test_what_collects_no_test_fails_the_run(folder: Path, text: str, code: int) -> None:
    (folder / "test_a.py").write_text(text)
    assert suite.run(["-q"]) == code


@pytest.mark.parametrize("named", [(), ("tests",), ("tests/fanout", "tests/jobs/test_order.py")])
def test_several_suites_in_one_process_are_refused_with_what_to_run(named: tuple[str, ...]) -> None:
    asked = run(BIN / "pytest", "--collect-only", "-q", *named, cwd=ROOT)
    assert asked.returncode == pytest.ExitCode.USAGE_ERROR
    assert "Name one suite, as in `pytest tests/jobs`" in asked.stdout


GIVEN = "import random; random.seed(7); from postgresql_server import free_port; print(free_port())"


@pytest.mark.skipif(sys.platform != "linux", reason="a reservation is an abstract socket of Linux")
def test_no_other_test_run_is_given_a_port_whose_server_has_not_started() -> None:
    first = subprocess.Popen(
        [sys.executable, "-c", f"{GIVEN}; import time; time.sleep(300)"],
        cwd=ROOT / "tests",
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
    with first:
        assert first.stdout is not None
        given = first.stdout.readline()
        second = subprocess.check_output([sys.executable, "-c", GIVEN], cwd=ROOT / "tests")
        first.kill()
    assert given
    assert second
    assert given != second


SLOW = """
import time
from pathlib import Path

import pytest

@pytest.fixture
def server():
    yield Path("started").touch()
    Path("ended").touch()

def test_slow(server):
    time.sleep(60)
"""


def test_a_run_that_is_told_to_stop_ends_what_its_tests_have_started(folder: Path) -> None:
    (folder / "test_a.py").write_text(SLOW)
    command = [sys.executable, "-m", "pytest", "-p", "conftest"]
    variables = os.environ | {"PYTHONPATH": str(ROOT / "tests")}
    with subprocess.Popen(command, env=variables, stdout=subprocess.DEVNULL) as asked:
        wait_until((folder / "started").exists, "the test to start", 100)
        asked.terminate()
        assert asked.wait(100) == pytest.ExitCode.INTERRUPTED
    assert (folder / "ended").exists()


def test_a_folder_that_another_run_deletes_at_once_fails_no_run(folder: Path) -> None:
    text = (
        "import pytest, warnings\n\ndef test_a():\n    warnings.warn(pytest.PytestWarning('{}'))\n"
    )
    for said, code in (("(rm_rf) error removing x", 0), ("another warning", 1)):
        (folder / "test_a.py").write_text(text.format(said))
        assert suite.run(["-q", "-c", str(ROOT / "pyproject.toml"), str(folder)]) == code

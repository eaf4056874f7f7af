"""Starts that a shell or a container makes unusual: as process 1, and without standard streams."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import SERVICE, START_TIMEOUT_SECONDS, TIMEOUT_SECONDS, eventually, once
from host_network import cannot_isolate

# A module that the start imports, and that takes its time.
SLOW = "import pathlib, time\npathlib.Path('imported').touch()\ntime.sleep(600)\n"
CONTAINER = ("unshare", "--pid", "--fork", "--kill-child")


@once
@pytest.mark.parametrize("command", ["offload.serving slow:app", "offload.jobs -Q cpu"])
def test_a_container_that_is_stopped_while_it_starts_ends(command: str, tmp_path: Path) -> None:
    if reason := cannot_isolate():
        assert "REQUIRE_NETNS" not in os.environ, reason
        pytest.skip(f"NO CONTAINER WAS STOPPED WHILE IT STARTS: {reason}")
    (tmp_path / "slow.py").write_text(SLOW)
    environment = {"DJANGO_SETTINGS_MODULE": "slow", "PYTHONPATH": f"{SERVICE}:{tmp_path}"}
    with subprocess.Popen(
        [*CONTAINER, sys.executable, "-m", *command.split()],
        cwd=tmp_path,
        env=os.environ | environment,
    ) as container:
        try:
            eventually((tmp_path / "imported").exists, "the start", START_TIMEOUT_SECONDS)
            children = Path(f"/proc/{container.pid}/task/{container.pid}/children")
            os.kill(int(children.read_text()), signal.SIGTERM)
            assert container.wait(TIMEOUT_SECONDS) == 0
        finally:
            container.kill()


@once
@pytest.mark.parametrize("command", ["offload.serving slow:app", "offload.jobs -Q cpu"])
def test_what_is_closed_at_the_start_is_no_other_file_later(command: str, tmp_path: Path) -> None:
    """Else the log goes into the first file that is opened: number 2 is free."""
    (tmp_path / "slow.py").write_text(SLOW)
    environment = {"DJANGO_SETTINGS_MODULE": "slow", "PYTHONPATH": f"{SERVICE}:{tmp_path}"}
    with subprocess.Popen(
        ["/bin/sh", "-c", f"exec {sys.executable} -m {command} 0<&- 1>&- 2>&-"],
        cwd=tmp_path,
        env=os.environ | environment,
    ) as process:
        try:
            eventually((tmp_path / "imported").exists, "the start", START_TIMEOUT_SECONDS)
            files = Path(f"/proc/{process.pid}/fd")
            if not files.exists():
                pytest.skip("only Linux tells which files a process has")
            assert [os.readlink(files / str(number)) for number in range(3)] == [os.devnull] * 3
        finally:
            process.kill()

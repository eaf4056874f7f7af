"""Process 1 of a container gets only the signals that it handles. It is stopped while it starts."""

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

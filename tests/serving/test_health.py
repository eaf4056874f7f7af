"""The check of a web process's health, as the image and compose.yaml run it."""

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import SERVICE, TIMEOUT_SECONDS, Serve, Server, eventually

from offload.serving.health import MAX_UNANSWERED

Check = Callable[..., int]


@pytest.fixture
def check(tmp_path: Path) -> Check:
    """Runs the check for a process; its exit code."""
    file = Path(SERVICE, "offload", "serving", "health.py")

    def run(port: int, *arguments: str) -> int:
        environment = {"PORT": str(port), "WEB_UNANSWERED_FILE": str(tmp_path / "unanswered")}
        command = [sys.executable, "-P", str(file), *arguments]
        return subprocess.run(
            command, env=environment, check=False, stderr=subprocess.DEVNULL
        ).returncode

    return run


def test_a_process_that_is_blocked_is_ended_by_its_third_check_and_no_other(
    serve: Serve, check: Check
) -> None:
    """docker and podman restart what has ended. A blocked process had half of all requests."""
    blocked, neighbour = serve(), serve()
    assert check(blocked.port, "--end") == 0
    blocked.process.send_signal(signal.SIGSTOP)
    for _ in range(MAX_UNANSWERED - 1):
        assert check(blocked.port, "--end") == 1
    # It answers again in time: the next checks are counted anew.
    blocked.process.send_signal(signal.SIGCONT)
    eventually(lambda: check(blocked.port, "--end") == 0, "an answer")
    blocked.process.send_signal(signal.SIGSTOP)
    for _ in range(MAX_UNANSWERED - 1):
        assert check(blocked.port, "--end") == 1
    assert blocked.process.poll() is None
    assert check(blocked.port, "--end") == 1
    assert blocked.process.wait(TIMEOUT_SECONDS) < 0
    # What does not listen, yet or any more, is not blocked.
    for _ in range(MAX_UNANSWERED + 1):
        assert check(blocked.port, "--end") == 1
    assert neighbour.get("/health/live").status_code == 200


def test_without_being_told_to_the_check_ends_nothing(server: Server, check: Check) -> None:
    server.process.send_signal(signal.SIGSTOP)
    try:
        assert [check(server.port) for _ in range(MAX_UNANSWERED + 1)] == [1] * (MAX_UNANSWERED + 1)
    finally:
        server.process.send_signal(signal.SIGCONT)
    eventually(lambda: check(server.port) == 0, "an answer")

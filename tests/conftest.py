"""Of every suite: one a process, which has its Django settings, and an end that leaves nothing."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent


def pytest_configure(config: pytest.Config) -> None:
    """Say what to run instead, before Django says that it was configured twice."""
    called_from = config.invocation_params.dir
    paths = [(called_from / argument.partition("::")[0]).resolve() for argument in config.args]
    suites = {path.relative_to(HERE).parts[:1] for path in paths if path.is_relative_to(HERE)}
    if () in suites or len(suites) > 1:
        raise pytest.UsageError(
            "Each suite has Django settings of its own. Name one suite, as in `pytest tests/jobs`, "
            "or run them all with `make test`."
        )
    _end_as_by_ctrl_c()


def _end_as_by_ctrl_c() -> None:
    """Let fixtures end their processes also where a CI or `kill` stops the run (SIGTERM)."""
    main = os.getpid()

    def stop(number: int, _: Any) -> None:
        if os.getpid() == main:
            raise KeyboardInterrupt
        # A process that a test has forked ends as it would without this.
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    signal.signal(signal.SIGTERM, stop)

"""The servers that are attacked, and the table of what was seen.

`CHAOS_SECONDS` says how long each attack lasts: 1 in `make test`, more in `make chaos`.
"""

import importlib.util
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

# Django's test project and the fixtures are those of the serving tests.
SERVING = Path(__file__).resolve().parent.parent / "serving"
sys.path.insert(0, str(SERVING))
specification = importlib.util.spec_from_file_location("serving_tests", SERVING / "conftest.py")
assert specification is not None
assert specification.loader is not None
serving_tests = importlib.util.module_from_spec(specification)
sys.modules["serving_tests"] = serving_tests
specification.loader.exec_module(serving_tests)
directory = serving_tests.directory
service = serving_tests.service

from experiment import ENDED, TABLE_HEAD  # noqa: E402
from lab import Lab, opened  # noqa: E402
from names import before_command, silent_name_server  # noqa: E402

LIMITS = {
    "head_timeout": 1,
    "body_timeout": 1,
    "request_timeout": 3,
    "keep_alive_timeout": 2,
    "write_timeout": 1,
    "connections": 400,
    "body_limits": {"/api/": 1024 * 1024},
}


@pytest.fixture(scope="session")
def server(directory: Path) -> Iterator["serving_tests.Server"]:  # type: ignore[name-defined]
    """One server for all attacks by clients: what one leaves behind, the next ones meet."""
    variables = {
        "SERVING_TEST_OFFLOAD": json.dumps(LIMITS),
        "SERVING_TEST_REQUESTS": "100",
        "SERVING_TEST_STREAMS": "100",
        "SERVING_TEST_TURNS": "1",
    }
    with serving_tests.running(directory, (), True, variables) as server:
        for _ in range(50):
            server.get("/api/ping")
        yield server


@pytest.fixture(scope="session")
def lab(service: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """One service for all attacks on what it depends on."""
    folder = tmp_path_factory.mktemp("lab")
    with serving_tests.small_postgres() as postgres, silent_name_server():
        token = serving_tests.migrate(service, postgres.url)
        with opened(Lab(folder, service, postgres, token), before_command(folder)) as lab:
            yield lab


@pytest.fixture(scope="session")
def seconds() -> float:
    """How long an attack lasts."""
    return float(os.environ.get("CHAOS_SECONDS", "1"))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """What was tried, what a neighbour saw, what was lost."""
    if ENDED:
        terminalreporter.section("what was tried")
        terminalreporter.write_line(TABLE_HEAD)
        for experiment in ENDED:
            terminalreporter.write_line(experiment.row())

"""The serving tests' servers, with short time limits and few places, for hostile clients.

`CHAOS_SECONDS` says how long each attack lasts: 1 in `make test`, more in `make chaos`.
"""

import importlib.util
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

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
    """One server for all attacks: what one leaves behind, the next ones meet."""
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
def seconds() -> float:
    """How long an attack lasts."""
    return float(os.environ.get("CHAOS_SECONDS", "1"))

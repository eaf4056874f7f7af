"""The fixture `service` is the whole service, running. A test that blocks or leaks fails."""

import logging

import pytest

from offload.logs import NonBlockingHandler

pytest_plugins = ["offload_dev.pytest.running_service", "offload_dev.pytest.loop_guard"]


@pytest.fixture(scope="session", autouse=True)
def _log_of_a_failed_test_once() -> None:
    """Drop the service's own handler: pytest shows the log of a failed test, in lines to read."""
    root = logging.getLogger()
    root.handlers = [each for each in root.handlers if not isinstance(each, NonBlockingHandler)]

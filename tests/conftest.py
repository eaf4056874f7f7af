"""One suite a process: each has Django settings of its own."""

from pathlib import Path

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

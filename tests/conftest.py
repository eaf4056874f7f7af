"""Of every suite: one a process, which has its Django settings, and an end that leaves nothing."""

import os
import signal
from functools import cache
from pathlib import Path
from ssl import SSLContext
from typing import Any

import httpx
import pytest
from httpx._transports import default as httpx_transport

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
    _share_tls_context()


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


def _share_tls_context() -> None:
    """Let the clients of tests share one TLS context, if they verify as httpx does by default.

    httpx makes one for each client, also for `http://`, and reads all certificates: 25 ms of CPU.
    A test asks a hundred times until a process answers.
    """

    @cache
    def shared() -> SSLContext:
        return httpx.create_ssl_context(trust_env=False)

    def context(verify: Any = True, cert: Any = None, trust_env: bool = True) -> SSLContext:
        if verify is True and cert is None and not trust_env:
            return shared()
        return httpx.create_ssl_context(verify, cert, trust_env)

    httpx_transport.create_ssl_context = context

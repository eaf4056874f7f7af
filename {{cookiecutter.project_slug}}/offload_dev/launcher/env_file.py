"""The file `.env`: what the processes get from it, and a notice when it changes."""

import os
import time
from collections.abc import Callable
from pathlib import Path

from dotenv import dotenv_values

PATH = Path(".env")
POLL_SECONDS = 1.0
NOTICE = (
    "`.env` has changed. The processes keep the values of their start:",
    "stop with Ctrl-C, and start again.",
)


def read() -> None:
    """Take the variables of `.env` that the environment does not have.

    The parser is that of `config/env.py`. honcho's would end a value at its first `#`, and take its
    quotes and backslashes away, so that a password or a key would be another one here than in
    `manage.py`.
    """
    for name, value in dotenv_values(PATH).items():
        if value is not None:
            os.environ.setdefault(name.upper(), value)


def watch(tell: Callable[[], None]) -> None:
    """Call the function after each change of the file. It never returns: give it a thread."""
    seen = _changed_at()
    while True:
        time.sleep(POLL_SECONDS)
        if (now := _changed_at()) != seen:
            seen = now
            tell()


def _changed_at() -> int | None:
    """When the file was changed, in nanoseconds; None where there is none."""
    try:
        return PATH.stat().st_mtime_ns
    except OSError:
        return None

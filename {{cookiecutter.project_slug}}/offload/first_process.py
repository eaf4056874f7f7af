"""Lets the first process of a container be stopped while it starts."""

import os
import signal
import sys
from types import FrameType


def end_on_sigterm() -> None:
    """End at a SIGTERM, until the server or the worker sets a handler of its own.

    The kernel keeps signals without a handler from process 1 (pid_namespaces(7)). A container that
    is stopped during its start would miss the signal, and go on until it is killed. Any other
    process ends by itself.
    """
    if os.getpid() == 1:
        signal.signal(signal.SIGTERM, _end)


def _end(number: int, frame: FrameType | None) -> None:
    sys.exit(0)

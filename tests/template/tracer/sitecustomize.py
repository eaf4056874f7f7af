"""Loaded by Python at its start: writes down each call of a function below TRACE_ROOT.

A line is `nanoseconds file function`, with the file relative to TRACE_ROOT.
"""

import os
import sys
import threading
import time
from types import FrameType
from typing import Any

if "TRACE_FILE" in os.environ:
    ROOT = os.environ["TRACE_ROOT"] + "/"
    OUTPUT = os.open(os.environ["TRACE_FILE"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def write_call(frame: FrameType, event: str, argument: Any) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(ROOT):
            file = code.co_filename.removeprefix(ROOT)
            line = f"{time.monotonic_ns()} {file} {code.co_qualname}\n"
            os.write(OUTPUT, line.encode())

    threading.setprofile(write_call)
    sys.setprofile(write_call)

"""Runs a function in a child process, so that what it registers ends with it."""

import json
import os
import signal
import tempfile
import traceback
from collections.abc import Callable
from typing import Any

SECONDS = 20


def in_child(function: Callable[[str], Any], argument: str) -> dict[str, Any]:
    """Call a function in a fork of this process.

    Returns:
        `{"returned": …}`, or `{"failed": …}` with the traceback, or that it took over 20 seconds.
    """
    with tempfile.NamedTemporaryFile("w+") as file:
        if not os.fork():
            signal.alarm(SECONDS)
            try:
                said = json.dumps({"returned": function(argument)})
            except BaseException:
                said = json.dumps({"failed": traceback.format_exc()})
            file.write(said)
            file.flush()
            os._exit(0)
        os.wait()
        file.seek(0)
        said = file.read()
    return json.loads(said) if said else {"failed": f"no end after {SECONDS} seconds"}

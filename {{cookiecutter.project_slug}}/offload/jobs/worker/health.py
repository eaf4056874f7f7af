"""Says whether a worker lives, for container probes: `python offload/jobs/worker/health.py`.

Exits with 0 if the file of the variable WORKER_LIFE_FILE is younger than 15 seconds, else with 1.
It is run as a file and imports nothing of the service, which would take a second: it costs what
Python's own start costs.
"""

import os
import sys
import time

# The worker gives a sign every second. On a busy machine it may be some seconds late.
MAX_AGE_SECONDS = 15.0


def main() -> str | None:
    """Why the worker is not healthy; None if it is."""
    path = os.environ.get("WORKER_LIFE_FILE")
    if not path:
        return "WORKER_LIFE_FILE is not set: set it for the worker and for its probe"
    try:
        age = time.time() - os.stat(path).st_mtime  # noqa: PTH116 - pathlib takes 5 ms
    except FileNotFoundError:
        return f"{path} is not there: the worker has not started, or has ended"
    if age > MAX_AGE_SECONDS:
        return f"the worker's last sign of life is {age:.0f} s old: it hangs, or was killed"
    return None


if __name__ == "__main__":
    # A sentence goes to stderr, and the exit status is 1.
    sys.exit(main())

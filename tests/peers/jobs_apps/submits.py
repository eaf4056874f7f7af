"""`python -m jobs_apps.submits QUEUE COUNT PATH [SECONDS]`: submits jobs one after the other.

It prints the CPU of a submit in milliseconds and the submits a second, as JSON. The first job of a
process imports and connects, and is not counted.
"""

import importlib
import json
import sys
import time


def main() -> None:
    """Submit one job, and then `COUNT` that are measured."""
    name, count, path, *seconds = sys.argv[1:]
    queue = importlib.import_module(f"jobs_apps.{name}")
    more = [float(each) for each in seconds]
    with queue.opened():
        queue.submit(path, *more)
        cpu, begun = time.process_time(), time.perf_counter()
        for _ in range(int(count)):
            queue.submit(path, *more)
        took = time.perf_counter() - begun
    spent = time.process_time() - cpu
    submits = max(int(count), 1)
    print(json.dumps({"cpu": spent / submits * 1000, "rate": int(count) / took}))


if __name__ == "__main__":
    main()

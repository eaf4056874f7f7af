"""What a count costs, in memory and in files: `python tests/peers/metrics_cost.py`.

Both run in turns, in processes of their own, and the median of the CPU time is printed.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

SERVICE = Path(__file__).parents[2] / "{{cookiecutter.project_slug}}"
ROUNDS = 5
CALLS = 100_000

MEASURED = f"""
import gc, json, time
from offload.observe import Counter, Gauge, Histogram
counter = Counter("c_total", "c", ["kind"]).labels("a")
histogram = Histogram("h_seconds", "h", ["kind"]).labels("a")
gauge = Gauge("g", "g", ["kind"], multiprocess_mode="livesum").labels("a")
def job():
    # submitted, begun, waited; running, run; ended
    counter.inc(); counter.inc(); histogram.observe(0.02)
    gauge.inc(); gauge.dec(); histogram.observe(0.3); counter.inc()
def time_of(call, *arguments):
    began = time.process_time()
    for _ in range({CALLS}):
        call(*arguments)
    return (time.process_time() - began) / {CALLS} * 1e6
print(json.dumps({{
    "one count": time_of(counter.inc),
    "one value of a histogram": time_of(histogram.observe, 0.02),
    "a job": time_of(job),
}}))
"""


def measure(folder: str | None) -> dict[str, float]:
    environment = os.environ | {"PYTHONPATH": str(SERVICE)}
    environment.pop("PROMETHEUS_MULTIPROC_DIR", None)
    if folder:
        environment["PROMETHEUS_MULTIPROC_DIR"] = folder
    printed = subprocess.check_output([sys.executable, "-c", MEASURED], env=environment)
    found: dict[str, float] = json.loads(printed)
    return found


def main() -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        runs = [(measure(None), measure(folder)) for _ in range(ROUNDS)]
    print("| | in memory | in files |\n|---|---|---|")
    for name in runs[0][0]:
        memory, files = (statistics.median(run[way][name] for run in runs) for way in (0, 1))
        print(f"| {name} | {memory:.2f} µs | {files:.2f} µs |")


if __name__ == "__main__":
    main()

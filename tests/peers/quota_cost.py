"""What a counted request costs: `python tests/peers/quota_cost.py`.

A Valkey is started, and this process counts requests in it, one after the other and ten at a time.
The medians of the CPU time of a count are printed, of this process and of Valkey.
"""

import asyncio
import statistics
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
from django.conf import settings

TEMPLATE = Path(__file__).parents[2] / "{{cookiecutter.project_slug}}"
PORT = 18790
ROUNDS = 7
COUNTS = 2000


async def microseconds(quota: Any, valkey: psutil.Process, at_once: int) -> tuple[float, float]:
    """CPU time for a count: of this process, and of Valkey."""
    here, there = time.process_time(), sum(valkey.cpu_times()[:2])
    for _ in range(COUNTS // at_once):
        counts = (quota.take(SimpleNamespace(), quota.per_owner, "ada") for _ in range(at_once))
        await asyncio.gather(*counts)
    here, there = time.process_time() - here, sum(valkey.cpu_times()[:2]) - there
    return here / COUNTS * 1e6, there / COUNTS * 1e6


async def compare(valkey: psutil.Process) -> None:
    """Print the medians."""
    from offload.access.request_quota import RequestQuota

    quota = RequestQuota()
    quota.open()
    for at_once in (1, 10):
        runs = [await microseconds(quota, valkey, at_once) for _ in range(ROUNDS)]
        ours, valkeys = (statistics.median(found) for found in zip(*runs, strict=True))
        print(f"{at_once} at a time: {ours:.0f} us of the process, {valkeys:.0f} us of Valkey")
    await quota.close()


def main() -> None:
    sys.path.insert(0, str(TEMPLATE))
    from offload.conf import Offload
    from offload_dev.launcher.embedded_valkey import command

    url = f"redis://127.0.0.1:{PORT}/0"
    limits = {"requests_per_owner": 10**6, "request_count_timeout": 5.0}
    settings.configure(OFFLOAD=Offload(redis_url=url, **limits))
    process = subprocess.Popen(command(PORT), stdout=subprocess.DEVNULL)
    try:
        asyncio.run(compare(psutil.Process(process.pid)))
    finally:
        process.kill()
        process.wait()


if __name__ == "__main__":
    main()

"""What the processes of the cluster hold: memory, threads, files, connections, keys, tasks."""

import os
import statistics
import threading
import time
from collections import defaultdict
from contextlib import suppress
from pathlib import Path

import redis
from host_network import pids_of

from .cluster import PASSWORD, WEBS, WORKERS, Cluster

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def held(cluster: Cluster) -> dict[str, int]:
    """The counts that do not grow with what was done.

    Raises:
        httpx.HTTPError: a web process does not answer.
    """
    found: dict[str, int] = {}
    for name in (*WEBS, *WORKERS):
        pids = pids_of(name)
        found[f"{name} processes"] = len(pids)
        found[f"{name} threads"] = sum(_entries(pid, "task") for pid in pids)
        # Of the process with the most: one that is forked anew begins with those of its parent.
        found[f"{name} descriptors"] = max(_entries(pid, "fd") for pid in pids)
    for name in WEBS:
        with cluster.client(cluster.url_behind(name)) as client:
            inside = client.get("/api/inside").raise_for_status().json()
        found |= {f"{name} {what}": number for what, number in inside.items()}

    for name in (*WEBS, *WORKERS):
        query = "SELECT count(*) FROM pg_stat_activity WHERE client_addr = %s::inet"
        ((count,),) = cluster.postgres.ask(query, cluster.hosts[name].address)
        found[f"{name} database connections"] = count
    with redis.Redis(cluster.hosts["valkey"].address, password=PASSWORD) as broker:
        found["Redis connections"] = broker.info("clients")["connected_clients"]
        found["Redis keys"] = broker.dbsize()
        found["Redis channels"] = len(broker.pubsub_channels())
    return found


def _entries(pid: int, folder: str) -> int:
    """How many threads or open files a process has; 0 if it has ended."""
    with suppress(OSError):
        return len(os.listdir(f"/proc/{pid}/{folder}"))
    return 0


def _resident(pid: int) -> int:
    """The memory of a process in bytes; 0 if it has ended."""
    with suppress(OSError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_BYTES
    return 0


class MemorySamples:
    """The memory of the processes, read again and again in a thread of its own.

    Args:
        interval_seconds: between two reads.
    """

    def __init__(self, interval_seconds: float) -> None:
        self._interval_seconds = interval_seconds
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._read)
        # By host: seconds, and bytes of the mean process there.
        self.samples: dict[str, list[tuple[float, float]]] = defaultdict(list)

    def __enter__(self) -> "MemorySamples":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._done.set()
        self._thread.join()

    def _read(self) -> None:
        while not self._done.wait(self._interval_seconds):
            for name in (*WEBS, *WORKERS):
                sizes = [size for size in map(_resident, pids_of(name)) if size]
                if sizes:
                    self.samples[name].append((time.monotonic(), statistics.fmean(sizes)))

    def sizes(self, name: str) -> list[float]:
        """Megabytes of the mean process of a host at five moments, for the reader."""
        every = [size / 1e6 for _, size in self.samples[name]]
        return [round(every[number * (len(every) - 1) // 4], 1) for number in range(5)]

    def growth(self, name: str) -> float:
        """Bytes by which the mean process of a host grew while it was read, by the slope."""
        samples = self.samples[name]
        return slope(samples) * (samples[-1][0] - samples[0][0])


def slope(points: list[tuple[float, float]]) -> float:
    """The median of the slopes between all pairs of points (Theil-Sen): outliers change nothing."""
    return statistics.median(
        (y2 - y1) / (x2 - x1)
        for number, (x1, y1) in enumerate(points)
        for x2, y2 in points[number + 1 :]
        if x2 > x1
    )

"""Limits hold in all workers together, and are used fully."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .conftest import Lab, new_lab


def most_at_once(log: Path) -> int:
    """How many jobs ran at the same time, as they have written it themselves."""
    running: dict[str, str] = {}
    most = 0
    for line in log.read_text().splitlines():
        what, *words = line.split()
        match what:
            case "start":
                running[words[-1]] = words[0]
            case "end":
                running.pop(words[-1], None)
            case "killed":
                running = {pid: name for pid, name in running.items() if pid not in words}
        most = max(most, len(running))
    return most


def test_the_limit_holds_and_is_used_fully_whatever_dies(lab: Lab) -> None:
    from offload.jobs import transitions
    from offload.jobs.models import Job

    log, gate = lab.folder / "starts", lab.folder / "gate"
    log.touch()

    def more(count: int, name: str = "a", **params: Any) -> list[Any]:
        return [
            lab.submit("lab.three", log=str(log), name=f"{name}-{number}", seconds=0.1, **params)
            for number in range(count)
        ]

    lab.redis()
    for name in ("one", "two"):
        lab.worker(name, slots=3)
    jobs = [*more(12, gate=str(gate)), *more(4, "stumble")]
    cancelled = more(3, "cancelled")
    for job in cancelled:
        transitions.request_cancel(job.pk)

    lab.until(lambda: most_at_once(log) == 3, "three jobs to run at once")
    gate.touch()
    lab.until(lambda: log.read_text().count("end") > 4, "some jobs to end")
    children = lab.children("one")
    lab.kill("one")
    with log.open("a") as file:
        file.write(f"killed {' '.join(map(str, children))}\n")
    with lab.redis_client() as client:
        client.flushall()
    jobs += more(6, "late")
    family = lab.submit("lab.family", log=str(log), names=[f"part-{n}" for n in range(6)])
    for job in [*jobs, family]:
        lab.reaches(job, "succeeded")
    print(f"\n{most_at_once(log)} at once")
    assert most_at_once(log) == 3
    assert not any("cancelled" in line for line in log.read_text().splitlines())
    assert not Job.objects.filter(place__isnull=False).exists()


@pytest.fixture(scope="module")
def two_workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    for lab in new_lab(tmp_path_factory.mktemp("two-workers")):
        lab.redis()
        for name in ("one", "two"):
            lab.worker(name)
        yield lab


def test_families_whose_parts_share_their_limit_all_end(two_workers: Lab, tmp_path: Path) -> None:
    log = str(tmp_path / "starts")
    families = [
        two_workers.submit("lab.family", log=log, names=[f"{number}-{part}" for part in range(4)])
        for number in range(5)
    ]
    for job in families:
        assert two_workers.reaches(job, "succeeded").result == {"value": 4}


def test_a_rate_holds_in_all_workers_together(two_workers: Lab, tmp_path: Path) -> None:
    log = tmp_path / "starts"
    jobs = [two_workers.submit("lab.paced", log=str(log), name="a") for _ in range(24)]
    ended = [two_workers.reaches(job, "succeeded") for job in jobs]

    lines = log.read_text().splitlines()
    times = [float(line.split()[2]) for line in lines if line.startswith("start")]
    assert len(times) == 24
    # 4 starts a second. Those of two seconds may come together, and as many may have waited.
    for first in times:
        assert sum(first <= other < first + 1.0 for other in times) <= 4 + 8 + 8
    # The first 8 came together, and each 4 of the others needed a second.
    took = max(job.started_at for job in ended) - min(job.created_at for job in ended)
    assert took.total_seconds() > 3.9

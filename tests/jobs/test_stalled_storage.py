"""File storage that hangs without an error keeps no job, no process and no request for long."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from .conftest import HERE, Lab, execute
from .web_process import api as api
from .web_process import succeeded
from .web_process import web as web

# More than a row takes (`result_limit` of the lab).
LARGE = 200_000


@pytest.fixture
def stalled() -> Iterator[Path]:
    """The folder of large results, on a mount that hangs."""
    from django.conf import settings

    if os.geteuid() != 0 or not Path("/dev/fuse").exists():
        pytest.skip("mounts a file system: needs root and /dev/fuse")
    folder = Path(settings.MEDIA_ROOT) / "job-results"
    folder.mkdir(parents=True, exist_ok=True)
    with subprocess.Popen(
        [sys.executable, HERE / "stalled_mount.py", folder], stdout=subprocess.PIPE
    ) as server:
        assert server.stdout is not None
        if server.stdout.readline() != b"mounted\n":
            pytest.skip("this system mounts no file system of a process")
        try:
            yield folder
        finally:
            # Whoever waits for the mount gets an error now.
            server.send_signal(signal.SIGKILL)
            server.wait(10)
            subprocess.run(["umount", "--lazy", folder], check=True)


def test_a_job_that_waits_for_a_mount_is_killed_at_its_time_limit(lab: Lab, stalled: Path) -> None:
    lab.redis()
    lab.worker(slots=2)
    job = lab.submit("lab.reads_soon", gate=str(stalled / "input"))
    ended = lab.reaches(job, "failed", patience=15)
    assert ended.error == "time limit: killed after 3 s"


def test_a_cancel_ends_a_job_that_waits_for_a_mount(lab: Lab, stalled: Path) -> None:
    lab.redis()
    lab.worker(slots=2, LAB_LEASE="60")
    from offload.jobs import transitions

    silent = lab.submit("lab.reads", gate=str(stalled / "input"))
    storing = lab.submit("lab.letters", units=LARGE, log="")
    lab.computes(silent)
    lab.reaches(storing, "running")
    # Its end is in the spool by then.
    time.sleep(2)
    for job in (silent, storing):
        transitions.request_cancel(job.pk)
        lab.reaches(job, "cancelled", patience=10)


def test_storage_that_hangs_costs_attempts_and_ends_the_job(lab: Lab, stalled: Path) -> None:
    lab.redis()
    # A process that waits in the kernel keeps its place until the mount answers.
    lab.worker(slots=4, LAB_STORAGE_TIMEOUT="1")
    job = lab.submit("lab.letters", units=LARGE, log="")
    ended = lab.reaches(job, "failed", patience=60)
    assert ended.error == "worker lost: file storage did not answer in time, attempt 3 of 3"
    lab.reaches(lab.submit("lab.burn", units=1), "succeeded", patience=30)


def test_a_divided_job_whose_parts_results_cannot_be_read_ends(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The join waits for file storage in a process that may be killed meanwhile."""
    from django.core.files.storage import default_storage

    from offload.jobs.models import Job
    from offload.jobs.worker.assignments import Activity, Assignments

    seen: list[tuple[Activity, bool]] = []
    table = Assignments(1)

    def note(name: str) -> Any:
        (found,) = table.working()
        seen.append((found.activity, found.may_be_killed))
        raise FileNotFoundError(name)

    whole = lab.submit("lab.whole", logs=[str(tmp_path / "part")])
    assert execute(whole) == "running"
    part = Job.objects.get(parent=whole)
    assert execute(part) == "succeeded"
    Job.objects.filter(pk=part.pk).update(result_file="job-results/away.json")
    monkeypatch.setattr(default_storage, "open", note)
    with pytest.raises(Exception, match="FileNotFoundError"):
        execute(whole, table=table)
    assert seen == [(Activity.STORAGE, True)]


def test_a_large_result_in_the_spool_keeps_no_small_one_waiting(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from django.core.files.storage import default_storage

    from offload.jobs import transitions
    from offload.jobs.worker.kept_end import KeptResult
    from offload.jobs.worker.spool import Spool
    from offload.jobs.worker.write_spooled import WriteSpooled

    spool, goes_on = Spool(tmp_path / "spool"), threading.Event()
    save = default_storage.save

    def hang(*arguments: Any) -> Any:
        goes_on.wait(60)
        return save(*arguments)

    monkeypatch.setattr(default_storage, "save", hang)
    jobs = [lab.submit("lab.burn") for _ in range(3)]
    for job, size in zip(jobs, (LARGE, LARGE, 1), strict=True):
        claimed = transitions.claim(job.pk, uuid4(), os.getpid())
        assert claimed is not None
        file = spool.keep(KeptResult(claimed, f'"{"x" * size}"').to_spool())
        assert file is not None
        file.release()

    writer = WriteSpooled(spool)
    writer.write_all(storage_seconds=0.2)
    assert [lab.reaches(job, "running", "succeeded").status for job in jobs] == [
        "running",
        "running",
        "succeeded",
    ]
    goes_on.set()

    def written() -> bool:
        writer.write_all(storage_seconds=10)
        return all(lab.reaches(job, "running", "succeeded").status == "succeeded" for job in jobs)

    lab.until(written, "the large results to be stored once the storage answers", 20)


def test_a_request_for_a_result_that_cannot_be_read_is_answered(
    web: Lab, api: httpx.Client, stalled: Path
) -> None:
    job = succeeded(web, None, "job-results/large.json")
    began = time.monotonic()
    view = api.get(f"/api/jobs/{job.pk}", timeout=30)
    assert (view.status_code, view.json()["result"]) == (200, None)
    assert "file storage, which has the result, does not answer" in view.json()["result_problem"]
    answer = api.get(view.json()["result_url"], timeout=30)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "10")
    assert time.monotonic() - began < 25
    assert api.get("/api/jobs").status_code == 200

"""A worker may end during an outage of the database: its results are on the host's disk."""

import contextlib
import dataclasses
import errno
import gc
import os
import signal
import time
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.conf import settings
from django.db import connection

from .conftest import Lab
from .test_supervision import alive, database


@pytest.fixture
def spool(lab: Lab) -> Any:
    """A spool of this process, and of no worker."""
    from offload.jobs.worker.spool import Spool

    return Spool(lab.folder / "spool")


@contextlib.contextmanager
def outage() -> Iterator[None]:
    """No process can write: the server is stopped, or SQLite's one write lock is held."""
    if connection.vendor == "postgresql":
        database("stop")
        try:
            yield
        finally:
            database("restart")
            connection.close()
    else:
        with connection.cursor() as cursor:
            cursor.execute("BEGIN IMMEDIATE")
            try:
                yield
            finally:
                cursor.execute("ROLLBACK")


def in_spool(lab: Lab, *jobs: Any) -> bool:
    # The lab's periodic job has files, too.
    return all(any((lab.folder / "kept").glob(f"{job.pk}-*.json")) for job in jobs)


@pytest.fixture
def worker(lab: Lab) -> Any:
    """Start a worker whose spool is in the lab's folder."""
    lab.redis()

    def start(name: str) -> Any:
        return lab.worker(name, slots=4, SPOOL_FOLDER=str(lab.folder / "kept"))

    start("first")
    return start


def end_by_sigterm(lab: Lab, name: str) -> None:
    os.kill(lab.processes[name].pid, signal.SIGTERM)
    lab.processes[name].wait(100)


def test_a_worker_that_ends_in_an_outage_costs_neither_a_result_nor_an_attempt(
    lab: Lab, worker: Any
) -> None:
    # A small result, which is in its row, and one that goes to file storage.
    jobs = [
        lab.submit(kind, units=1, gate=str(lab.gate)) for kind in ("lab.silent", "lab.slow_letters")
    ]
    unfinished = lab.submit("lab.silent", units=1, gate=str(lab.folder / "closed"))
    for job in [*jobs, unfinished]:
        lab.computes(job)
    with outage():
        lab.gate.touch()
        for job in jobs:
            lab.until(lambda job=job: lab.executions(job, "end"), "the functions to return")
        # Within the second in which the results are in memory alone.
        end_by_sigterm(lab, "first")
        assert in_spool(lab, *jobs, unfinished)
        assert lab.executions(unfinished, "end") == 0
    worker("second")
    for job in jobs:
        ended = lab.reaches(job, "succeeded", "failed")
        assert (ended.status, ended.attempts, lab.executions(job)) == ("succeeded", 1, 1)
        assert ended.load_result()
    assert ended.result_file
    lab.until(lambda: not in_spool(lab, *jobs), "the spool to be empty")
    lab.until(lambda: lab.executions(unfinished) == 2, "the unfinished job to begin again")
    assert lab.reaches(unfinished, "running").attempts == 1


def test_a_killed_process_whose_result_is_in_the_spool_loses_nothing(lab: Lab, worker: Any) -> None:
    job = lab.computes(lab.submit("lab.silent", units=1, gate=str(lab.gate)))
    with outage():
        lab.gate.touch()
        lab.until(lambda: in_spool(lab, job), "the result to be in the spool")
        os.kill(job.pid, signal.SIGKILL)
        lab.until(lambda: not alive(job.pid), "the process to be dead")
    ended = lab.reaches(job, "succeeded", "failed")
    assert (ended.status, ended.attempts, lab.executions(job)) == ("succeeded", 1, 1)
    lab.until(lambda: not in_spool(lab, job), "the spool to be empty")


def test_an_end_in_the_spool_whose_job_has_a_new_token_changes_nothing(
    lab: Lab, spool: Any
) -> None:
    from offload.jobs import transitions
    from offload.jobs.worker.kept_end import KeptResult
    from offload.jobs.worker.write_spooled import WriteSpooled

    job = transitions.claim(lab.submit("lab.burn").pk, uuid4(), 1)
    assert job
    spool.keep(KeptResult(job, '{"value": 7}').to_spool()).release()
    assert transitions.reclaim(job, "worker lost")
    WriteSpooled(spool).write_all()
    job.refresh_from_db()
    assert (job.status, job.result) == ("queued", None)
    assert not spool.holds(job.pk, job.token - 1)


def test_a_living_process_writes_its_end_itself(lab: Lab, spool: Any) -> None:
    from offload.jobs import transitions
    from offload.jobs.worker.kept_end import KeptEnd
    from offload.jobs.worker.write_spooled import WriteSpooled

    job = transitions.claim(lab.submit("lab.burn").pk, uuid4(), 1)
    assert job
    file = spool.keep(KeptEnd(job, "fail", error="no", detail="").to_spool())
    WriteSpooled(spool).write_all()
    assert lab.reaches(job, "running").error == ""
    file.release()
    WriteSpooled(spool).write_all()
    assert lab.reaches(job, "failed").error == "no"


def test_the_spool_takes_only_so_much_and_deletes_what_is_too_old(
    lab: Lab, spool: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from offload.jobs.worker.spool import SpooledEnd

    end = SpooledEnd(str(uuid4()), 1, "succeed", {"document": "x" * 1000})
    bounds = dataclasses.replace(settings.OFFLOAD, spool_limit=1500, spool_lifetime=60)
    monkeypatch.setattr(settings, "OFFLOAD", bounds)
    spool.keep(end).release()
    assert spool.keep(dataclasses.replace(end, token=2)) is None
    [path] = (lab.folder / "spool").iterdir()
    os.utime(path, (0, time.time() - 61))
    assert not list(spool.unowned())
    assert not path.exists()


def test_a_file_that_is_deleted_while_the_spool_is_measured_stops_no_other(
    lab: Lab, spool: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from offload.jobs.worker.spool import SpooledEnd

    end = SpooledEnd(str(uuid4()), 1, "stop")
    other = spool.keep(end)
    found = Path.glob

    def delete_before(folder: Path, pattern: str) -> Iterator[Path]:
        for path in list(found(folder, pattern)):
            other.delete()
            yield path

    with monkeypatch.context() as patched:
        patched.setattr(Path, "glob", delete_before)
        kept = spool.keep(dataclasses.replace(end, token=2))
    assert kept.read().token == 2


def test_a_disk_that_was_full_takes_the_next_end(
    lab: Lab, spool: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was written of the first one does not stay on the disk."""
    from offload.jobs.worker.spool import SpooledEnd

    end = SpooledEnd(str(uuid4()), 1, "stop")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        assert spool.keep(end) is None
    assert not list((lab.folder / "spool").iterdir())
    assert spool.keep(end).read() == end


def test_a_file_that_is_no_end_harms_no_other(lab: Lab, spool: Any) -> None:
    from offload.jobs import transitions
    from offload.jobs.worker.kept_end import KeptEnd
    from offload.jobs.worker.write_spooled import WriteSpooled

    job = transitions.claim(lab.submit("lab.burn").pk, uuid4(), 1)
    assert job
    folder = lab.folder / "spool"
    folder.mkdir()
    for name in ("a.json", "b.json.new"):
        (folder / name).write_text("{")
    spool.keep(KeptEnd(job, "stop").to_spool()).release()
    WriteSpooled(spool).write_all()
    assert lab.reaches(job, "cancelled")
    assert not list(folder.iterdir())


def test_a_folder_that_cannot_be_written_is_told_at_the_start(
    lab: Lab, caplog: pytest.LogCaptureFixture
) -> None:
    from offload.jobs.worker.spool import Spool, SpooledEnd

    (lab.folder / "file").touch()
    spool = Spool(lab.folder / "file" / "spool")
    spool.check()
    assert "Set SPOOL_FOLDER to a folder on a disk" in caplog.text
    assert spool.keep(SpooledEnd(str(uuid4()), 1, "stop")) is None


def test_a_large_result_that_storage_refuses_leaves_nothing_to_the_garbage_collector(
    spool: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The main process of a worker makes few objects: its collector comes late, or never."""
    from offload.jobs.models import Job
    from offload.jobs.worker.kept_end import KeptResult
    from offload.jobs.worker.write_spooled import WriteSpooled

    def refuse(_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(KeptResult, "prepare", refuse)
    writer, end = WriteSpooled(spool), KeptResult(Job(), "a large result")
    kept = weakref.ref(end)
    gc.disable()
    try:
        with pytest.raises(OSError, match="no space left"):
            writer._store(Job(), end, 10)
        del end
        assert kept() is None
    finally:
        gc.enable()

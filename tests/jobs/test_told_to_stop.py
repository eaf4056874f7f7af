"""A worker that was told to stop takes no more jobs, while it waits for those that it computes."""

from uuid import uuid4

from .conftest import Lab
from .web_process import client_of


def test_a_worker_that_was_told_to_stop_counts_for_no_queue_and_no_job_type(lab: Lab) -> None:
    from offload.jobs.models import Worker

    lab.redis()
    lab.web()
    process = lab.worker(slots=1, WORKER_GRACE="60")
    job = lab.submit("lab.burn", units=1, gate=str(lab.gate))
    lab.computes(job)

    with client_of(lab) as api:
        process.terminate()
        path = "/health/dependencies"
        lab.until(lambda: api.get(path).json()["workers"] == 0, "no worker to count", 20)
        waiting = lab.submit("lab.burn", units=1)
        unread = 'offload_jobs_unread{queue="cpu"} 1.0'
        lab.until(lambda: unread in api.get("/metrics").text, "its queue to be unread", 20)
        assert lab.reaches(job, "running").worker == Worker.objects.get().pk

        # The next worker is of a version without this job type.
        kinds = ["lab.noted"]
        Worker.objects.create(pk=uuid4(), name="next", queues=["cpu"], slots=1, kinds=kinds)
        why = "no running worker knows the job type 'lab.burn'"
        path = f"/api/jobs/{waiting.pk}"
        lab.until(lambda: api.get(path).json()["blocked_by"] == why, why, 20)

    lab.gate.touch()
    assert lab.reaches(job, "succeeded").attempts == 1
    assert process.wait(60) == 0
    assert not Worker.objects.exclude(name="next").exists()

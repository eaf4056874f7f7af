"""Messages that are for nobody here: of job types that a worker does not know, during a deploy; and
of jobs that the database does not have, because another service uses the same Redis.
"""

from uuid import uuid4

from .conftest import Lab, publish_patiently


def test_a_worker_says_once_that_it_does_not_know_a_job_type(running: Lab) -> None:
    from celery import current_app

    from offload.jobs.relay import Broker, JobMessage

    job = running.submit("lab.burn", units=1, gate=str(running.gate))
    running.computes(job)
    broker = Broker()
    unknown = JobMessage.of(job)._replace(kind="lab.renamed")
    publish_patiently(running, broker, [unknown] * 200)
    broker.close()
    running.until(lambda: running.messages("cpu") == 0, "the messages to be read")
    # The message of a plain task is the task.
    current_app.send_task("lab.lost", ("a letter",), queue="cpu")
    running.until(lambda: "'lab.lost'" in running.log("worker"), "Celery's own error")

    log = running.log("worker")
    assert log.count("does not know the job type 'lab.renamed'") == 1
    assert log.count("Received unregistered task") == 1
    running.gate.touch()
    running.reaches(job, "succeeded")
    running.reaches(running.submit("lab.burn", units=1), "succeeded")


def test_a_job_that_celery_beat_sends_is_one_sentence(running: Lab) -> None:
    """Somebody has put a job into the schedule of django-celery-beat: no row is there to run."""
    from offload.celery_app import celery_app

    for arguments, options in (((), {}), (("a letter",), {}), ((7,), {}), ((), {"units": 1})):
        celery_app().send_task("lab.burn", arguments, options, queue="cpu")
    running.until(
        lambda: running.log("worker").count("for the job 'lab.burn' names no job's id") == 4,
        "the worker to say so",
    )
    assert "Traceback" not in running.log("worker")
    running.reaches(running.submit("lab.burn", units=1), "succeeded")


def test_a_worker_says_that_another_service_uses_its_redis(running: Lab) -> None:
    from offload.jobs.relay import Broker, JobMessage

    late = JobMessage.of(running.reaches(running.submit("lab.burn", units=1), "succeeded"))
    broker = Broker()
    publish_patiently(running, broker, [late])
    running.until(lambda: running.messages("cpu") == 0, "the message to be read")
    running.reaches(running.submit("lab.burn", units=1), "succeeded")
    assert "is not in this database" not in running.log("worker")

    theirs = [late._replace(job_id=str(uuid4())) for _ in range(50)]
    publish_patiently(running, broker, theirs)
    broker.close()
    said = "is not in this database (1 such"
    running.until(lambda: said in running.log("worker"), "the worker to say so")
    running.until(lambda: running.messages("cpu") == 0, "the messages to be read")
    running.reaches(running.submit("lab.burn", units=1), "succeeded")
    # A line of each of its two processes.
    assert running.log("worker").count("is not in this database") <= 2

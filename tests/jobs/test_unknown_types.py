"""Messages of job types that a worker does not know: during a deploy there may be thousands."""

from .conftest import Lab, publish_patiently


def test_a_worker_says_once_that_it_does_not_know_a_job_type(running: Lab) -> None:
    from celery import current_app

    from offload.jobs.broker import Broker, JobMessage

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

"""A worker that Celery alone has started knows no job, and takes none away."""

import sys

from .conftest import Lab, publish_patiently

CELERY = (sys.executable, "-m", "celery", "-A", "config", "worker", "-n", "plain@lab", "-c", "1")
MORE_QUEUES = (
    "import config.celery as c; from kombu import Exchange, Queue; "
    "c.app.conf.task_queues.append(Queue('own', Exchange('jobs'), routing_key='own')); "
    "import sys; from celery.bin.celery import main; sys.exit(main())"
)


def test_a_worker_of_celery_alone_refuses_the_queues_of_jobs(lab: Lab) -> None:
    lab.redis()
    for number, options in enumerate(((), ("-Q", "cpu"))):
        plain = lab.start(f"plain{number}", *CELERY, *options)
        assert plain.wait(120) == 1
        printed = lab.log(f"plain{number}")
        assert "would discard the jobs of its queues (cpu" in printed, printed
        assert "start `python -m offload.jobs -Q cpu" in printed, printed
        assert "Traceback" not in printed


def test_a_worker_with_queues_of_its_own_leaves_those_of_jobs(lab: Lab) -> None:
    """As an old worker of a service that has got jobs: it names no queues and reads all of them."""
    from offload.jobs.relay import Broker, JobMessage

    lab.redis()
    lab.start("plain", sys.executable, "-c", MORE_QUEUES, *CELERY[3:], LOG_LEVEL="INFO")
    lab.until(lambda: "plain@lab ready" in lab.log("plain"), "the plain worker")
    assert "this worker does not read cpu" in lab.log("plain")
    jobs = [lab.submit("lab.burn", units=1) for _ in range(5)]
    publish_patiently(lab, Broker(), [JobMessage.of(job) for job in jobs])
    lab.worker()
    for job in jobs:
        lab.reaches(job, "succeeded")
    assert "unregistered" not in lab.log("plain")


def test_a_worker_warns_of_tasks_of_the_service_without_a_time_limit(running: Lab) -> None:
    assert "offload.W713: Tasks without a time limit: lab.plain. " in running.log("worker")

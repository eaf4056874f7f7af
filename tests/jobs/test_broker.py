"""A broker that is dead, silent, full, emptied or restarted costs time and never a job."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from .conftest import LEASE, Lab, publish_patiently
from .web_process import client_of


@pytest.fixture
def api(lab: Lab) -> Iterator[httpx.Client]:
    """A web process of the lab, with a client that has a token; `/api/lab` is not needed: jobs come
    from the shell.
    """
    with client_of(lab) as client:
        yield client


def _post(api: httpx.Client, **body: Any) -> httpx.Response:
    return api.post("/api/lab/burn", json=body)


def _all_succeed(lab: Lab, count: int, patience: float = 100) -> list[Any]:
    from offload.jobs.models import Job

    # The schedule has some, too.
    mine = Job.objects.filter(owner="lab")
    lab.until(
        lambda: mine.filter(status="succeeded").count() >= count,
        f"{count} jobs to succeed",
        patience,
    )
    rows = list(mine)
    assert len(rows) == count
    assert {row.attempts for row in rows} == {1}
    assert [lab.executions(row) for row in rows] == [1] * count
    return rows


class Payload:
    """What pickle runs while it reads it."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> Any:
        return Path.touch, (self.file,)


def test_a_message_carries_no_code(running: Lab) -> None:
    """Whoever reaches Redis can name jobs, and runs nothing in a worker."""
    from celery import current_app
    from kombu import serialization

    run, job = running.folder / "run", running.submit("lab.burn", units=0)
    with current_app.connection_for_write() as connection:
        producer = connection.Producer()
        serialization.enable_insecure_serializers(["pickle"])
        try:
            for task in ("lab.burn", "celery.backend_cleanup", "os.system"):
                headers = {"task": task, "id": "x", "lang": "py"}
                body = ((Payload(run),), {}, {})
                producer.publish(body, serializer="pickle", headers=headers, routing_key="cpu")
        finally:
            serialization.disable_insecure_serializers()
    running.until(lambda: running.messages("cpu") == 0, "the messages to be read")
    running.reaches(job, "succeeded")
    running.reaches(running.submit("lab.burn", units=0), "succeeded")
    assert not run.exists()
    assert "Refusing to deserialize" in running.log("worker")


def test_jobs_submitted_while_redis_is_down_are_accepted_and_done(
    lab: Lab, api: httpx.Client
) -> None:
    lab.web()
    lab.worker(wait=True)
    times = []
    for number in range(int(os.environ.get("LAB_OUTAGE_JOBS", "60"))):
        started = time.monotonic()
        answer = _post(api, log=str(lab.folder / f"executions-{number}"), units=1)
        times.append(time.monotonic() - started)
        assert answer.status_code == 202, answer.text
    print(f"submit with Redis down: slowest of {len(times)} took {max(times) * 1000:.0f} ms")
    time.sleep(float(os.environ.get("LAB_OUTAGE_SECONDS", "3")))
    lab.redis()
    _all_succeed(lab, len(times))


def test_a_redis_restarted_empty_costs_no_job(running: Lab) -> None:
    jobs = [running.submit("lab.burn", units=1, gate=str(running.gate)) for _ in range(50)]
    running.until(lambda: any(map(running.executions, jobs)), "a job to begin")
    running.until(lambda: running.messages("cpu") > 10, "messages to wait in the broker")
    running.kill("redis")
    running.redis()
    running.gate.touch()
    _all_succeed(running, 50)


def test_two_services_on_one_redis_share_no_key(running: Lab) -> None:
    for _ in range(20):
        running.submit("lab.burn", units=1, gate=str(running.gate))
    running.until(lambda: running.messages("cpu") > 3, "messages to wait in the broker")
    client = running.redis_client()
    foreign = [key for key in client.scan_iter() if not key.startswith(b"labyrinth:")]
    assert not foreign


def test_flushall_costs_no_job(running: Lab) -> None:
    jobs = [running.submit("lab.burn", units=1, gate=str(running.gate)) for _ in range(50)]
    running.until(lambda: any(map(running.executions, jobs)), "a job to begin")
    running.until(lambda: running.messages("cpu") > 10, "messages to wait in the broker")
    running.redis_client().flushall()
    running.gate.touch()
    _all_succeed(running, 50)


def test_a_redis_restart_while_one_of_two_slots_is_busy_harms_neither_worker_nor_job(
    running: Lab,
) -> None:
    job = running.submit("lab.burn", units=1, gate=str(running.gate))
    running.computes(job)
    running.kill("redis", signal.SIGTERM)
    running.redis()
    running.gate.touch()
    ended = running.reaches(job, "succeeded")
    assert (ended.attempts, running.executions(job)) == (1, 1)
    assert running.processes["worker"].poll() is None
    running.reaches(running.submit("lab.burn", units=1), "succeeded")
    # One line says what was lost. Celery would add a warning about one of its defaults.
    assert "Connection to broker lost" in running.log("worker")
    assert "CPendingDeprecationWarning" not in running.log("worker")


def test_a_job_that_finishes_while_redis_is_down_has_succeeded(running: Lab) -> None:
    job = running.submit("lab.burn", units=1, gate=str(running.gate))
    running.computes(job)
    running.kill("redis")
    running.gate.touch()
    ended = running.reaches(job, "succeeded", "failed")
    assert (ended.status, ended.attempts, running.executions(job)) == ("succeeded", 1, 1)
    running.redis()
    running.reaches(running.submit("lab.burn", units=1), "succeeded")


def test_duplicate_and_late_messages_run_nothing_twice(running: Lab) -> None:
    from offload.jobs.relay import Broker, JobMessage

    job = running.submit("lab.burn", units=1, gate=str(running.gate))
    broker = Broker()
    publish_patiently(running, broker, [JobMessage.of(job)] * 20)
    running.computes(job)
    running.gate.touch()
    ended = running.reaches(job, "succeeded")
    publish_patiently(running, broker, [JobMessage.of(job)] * 20)
    running.until(lambda: running.messages("cpu") == 0, "the queue to be empty")
    broker.close()
    running.reaches(running.submit("lab.burn", units=1), "succeeded")
    after = running.reaches(job, "succeeded")
    assert (after.version, after.attempts, running.executions(job)) == (ended.version, 1, 1)


def test_a_message_of_another_type_does_not_run_a_job(lab: Lab) -> None:
    """Whoever reaches Redis cannot give a row to a function that it was not submitted to."""
    from offload.jobs.relay import Broker, JobMessage

    lab.redis()
    job = lab.submit("lab.burn", units=1)
    broker = Broker()
    wrong = JobMessage.of(job)._replace(kind="lab.tick")
    publish_patiently(lab, broker, [wrong] * 20)
    broker.close()
    lab.worker()
    ended = lab.reaches(job, "succeeded", "failed")
    assert (ended.status, list(ended.result), ended.attempts) == ("succeeded", ["value"], 1)
    assert lab.executions(job) == 1


def test_a_default_queue_that_nobody_declares_is_no_outage(lab: Lab) -> None:
    from celery import current_app

    from offload.jobs.relay import Broker

    lab.redis()
    lab.until(lab.redis_answers, "Redis")
    broker, default = Broker(), current_app.conf.task_default_queue
    current_app.conf.task_default_queue = "renamed"
    try:
        lab.until(broker.check, "the broker to be there")
    finally:
        current_app.conf.task_default_queue = default
        broker.close()


def test_a_full_redis_costs_no_job(lab: Lab) -> None:
    lab.redis("--maxmemory", "3mb")
    client = lab.redis_client()
    import redis

    with pytest.raises(redis.exceptions.OutOfMemoryError):
        for number in range(10_000):
            client.set(f"ballast-{number}", "x" * 10_000)
    jobs = [lab.submit("lab.burn", units=1) for _ in range(5)]
    worker = lab.worker(wait=False)
    lab.until(lambda: "Trying to reconnect" in lab.log("worker"), "the worker to meet it")
    client.flushall()
    for job in jobs:
        lab.reaches(job, "succeeded")
    assert worker.poll() is None, "the worker stayed"


def test_an_outage_by_a_full_redis_is_logged_once_a_minute(lab: Lab) -> None:
    from offload.jobs.worker.consumer import BROKER_LOG_INTERVAL_SECONDS

    lab.redis("--maxmemory", "1mb")
    begun = time.monotonic()
    lab.web()
    lab.worker()
    job = lab.submit("lab.burn", units=1)
    with lab.redis_client() as client:
        # Each process tries again after a pause, which is the longest in the web process.
        lab.until(lambda: _refused(client) > 60, "tries of both processes")
        assert "the broker answers again" not in lab.log("web") + lab.log("worker")
        lines = lab.log("worker").count("Trying to reconnect")
        assert lines <= 1 + (time.monotonic() - begun) / BROKER_LOG_INTERVAL_SECONDS
        client.config_set("maxmemory", "100mb")
    lab.reaches(job, "succeeded")
    lab.until(lambda: "the broker answers again" in lab.log("worker") + lab.log("web"), "its end")


def _refused(client: Any) -> int:
    """How many commands Redis has refused because its memory is full."""
    refused: int = client.info("errorstats").get("errorstat_OOM", {}).get("count", 0)
    return refused


def test_a_backlog_is_published_once_not_at_every_maintenance(lab: Lab, api: httpx.Client) -> None:
    from offload.jobs.models import Leader

    lab.redis()
    lab.web()
    waiting = 1000
    for _ in range(waiting):
        lab.submit("lab.burn", units=1)
    lab.until(lambda: lab.messages("cpu") >= waiting, "a message for every job")
    renewals: set[Any] = set()
    # The lead is renewed every 2.5 s, and the maintenance runs every second: over ten runs.

    def renewed() -> bool:
        renewals.add(Leader.objects.get().until)
        return len(renewals) == 5

    lab.until(renewed, "the lead to be renewed")
    print(f"{lab.messages('cpu')} messages for {waiting} waiting jobs after more than ten runs")
    assert waiting <= lab.messages("cpu") <= waiting + 20


def test_a_web_process_killed_before_it_published_loses_nothing(
    lab: Lab, api: httpx.Client
) -> None:
    lab.redis()
    # Silent: nothing can be published.
    lab.kill("redis", signal.SIGSTOP)
    lab.web()
    answer = _post(api, log=str(lab.folder / "executions"), units=1)
    assert answer.status_code == 202
    lab.kill("web")
    lab.kill("redis", signal.SIGCONT)
    lab.worker()
    _all_succeed(lab, 1)


def test_a_broker_that_accepts_and_stays_silent_slows_no_request(
    lab: Lab, api: httpx.Client
) -> None:
    from offload.jobs.relay import CONNECTION_LIMITS

    url, took = lab.proxy("silent"), []
    lab.redis()
    lab.web(REDIS_URL=url)
    lab.until(lambda: "connection" in lab.log("proxy"), "the relay to meet the silent broker")
    for number in range(20):
        answer = _post(api, log=str(lab.folder / f"executions-{number}"), units=1)
        assert answer.status_code == 202
        took.append(answer.elapsed.total_seconds())
    # A request that waited for the broker would take its timeout, a second.
    print(f"submit with a silent broker: {min(took):.3f} to {max(took):.3f} s")
    assert min(took) < CONNECTION_LIMITS["socket_timeout"]

    def serves_and_cannot_compute() -> bool:
        ready, dependencies = api.get("/health/ready"), api.get("/health/dependencies")
        known = (ready.json()["broker"], ready.json()["database"])
        return (ready.status_code, dependencies.status_code, known) == (200, 503, (False, True))

    # The process can serve, so it stays in service; the whole service cannot compute.
    lab.until(serves_and_cannot_compute, "the silent broker to be told")
    lab.worker()
    _all_succeed(lab, 20)


def test_a_leader_with_a_silent_broker_gives_the_lead_to_a_worker_whose_broker_answers(
    lab: Lab, api: httpx.Client
) -> None:
    from offload.jobs.models import Leader

    lab.redis()
    lab.web(REDIS_URL=lab.proxy("silent"))
    for number in range(20):
        answer = _post(api, log=str(lab.folder / f"executions-{number}"), units=1)
        assert answer.status_code == 202
    cut_off = Leader.objects.filter(reaches_broker=False)
    lab.until(cut_off.exists, "the web process to lead without a broker")
    lab.worker()
    _all_succeed(lab, 20)


def test_a_worker_finds_out_that_its_broker_connection_is_dead(lab: Lab) -> None:
    lab.redis()
    lab.worker(REDIS_URL=lab.proxy())
    lab.reaches(lab.submit("lab.burn", units=1), "succeeded")
    os.kill(lab.processes["proxy"].pid, signal.SIGUSR1)
    started = time.monotonic()
    jobs = [lab.submit("lab.burn", units=1) for _ in range(10)]
    for job in jobs:
        lab.reaches(job, "succeeded")
    print(
        f"10 jobs ended {time.monotonic() - started:.1f} s after every connection was black-holed"
    )
    assert [lab.executions(job) for job in jobs] == [1] * 10


def test_a_worker_with_a_wrong_clock_neither_steals_nor_loses(lab: Lab) -> None:
    (lab.folder / "sitecustomize.py").write_text(
        "import time\n_now = time.time\ntime.time = lambda: _now() + 3600\n"
    )
    lab.redis()
    lab.worker("skewed", PYTHONPATH=str(lab.folder))
    lab.worker("right")
    jobs = [lab.submit("lab.burn", units=60) for _ in range(8)]
    for job in jobs:
        ended = lab.reaches(job, "succeeded")
        assert (ended.attempts, lab.executions(job)) == (1, 1)


def test_a_locked_database_costs_no_job(running: Lab) -> None:
    from django.db import connection, transaction

    if connection.vendor != "sqlite":
        pytest.skip("SQLITE ALONE locks its whole database")
    jobs = [running.submit("lab.burn", units=1, gate=str(running.gate)) for _ in range(4)]
    running.until(lambda: any(map(running.executions, jobs)), "a job to begin")
    with transaction.atomic():
        running.gate.touch()
        # Longer than a lease.
        time.sleep(LEASE + 2)
    for job in jobs:
        ended = running.reaches(job, "succeeded")
        assert (ended.attempts, running.executions(job)) == (1, 1)


@pytest.mark.skipif(
    "LAB_DATABASE_RESTART" not in os.environ, reason="a server to restart: test_postgres.py has one"
)
def test_a_restarted_database_costs_no_job(running: Lab) -> None:
    from django.db import connection

    jobs = [running.submit("lab.burn", units=1, gate=str(running.gate)) for _ in range(4)]
    running.until(lambda: any(map(running.executions, jobs)), "a job to begin")
    subprocess.run(
        os.environ["LAB_DATABASE_RESTART"].split(), check=True, stdout=subprocess.DEVNULL, cwd="/"
    )
    connection.close()
    running.gate.touch()
    for job in jobs:
        ended = running.reaches(job, "succeeded")
        assert (ended.attempts, running.executions(job)) == (1, 1)


def test_a_web_process_finds_out_that_redis_is_frozen_and_that_it_goes_on(lab: Lab) -> None:
    def events() -> Any:
        health = httpx.get(f"{lab.address}/health/dependencies", trust_env=False)
        return health.json()["events"]

    lab.redis()
    lab.web()
    lab.until(events, "the web process to subscribe")
    lab.kill("redis", signal.SIGSTOP)
    lab.until(lambda: not events(), "the web process to miss the answers", patience=60)
    assert "no answer to a PING in 5 s" in lab.log("web")
    lab.kill("redis", signal.SIGCONT)
    lab.until(events, "the web process to subscribe again")


@contextmanager
def broker_at(url: str) -> Iterator[None]:
    """Let Celery's app look for its broker there."""
    from offload.celery_app import celery_app

    conf = celery_app().conf
    before, conf.broker_url = conf.broker_url, url
    try:
        yield
    finally:
        conf.broker_url = before


def test_an_outage_names_the_broker_without_its_password(
    lab: Lab, caplog: pytest.LogCaptureFixture
) -> None:
    """A service whose settings name no broker sees that Celery asks another one."""
    from offload.jobs.relay import Broker

    with broker_at("redis://:secret@127.0.0.1:1/0"):
        assert not Broker().check()
    assert "does not answer" in caplog.text
    assert "(redis://:**@127.0.0.1:1/0)" in caplog.text
    assert "secret" not in caplog.text


def test_a_broker_of_an_unknown_kind_is_an_outage_like_others(lab: Lab) -> None:
    """What the log line asks of it must not end the relay's thread."""
    from offload.jobs.relay import Broker

    with broker_at("nonsense://127.0.0.1:1/0"):
        assert not Broker().check()

"""What submitting, dividing, watching and scheduling promise while nothing dies."""

import asyncio
import contextlib
import json
import sys
import threading
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from django.db import transaction
from django.utils import timezone

from .conftest import Lab


@pytest.fixture
def served(running: Lab) -> Any:
    """The running lab with a web process, and a client for it."""
    from offload.access.models import ApiToken

    running.web()
    _, token = ApiToken.make("lab")
    headers = {"Authorization": f"Bearer {token}"}
    with httpx.Client(
        base_url=running.address, headers=headers, timeout=60, trust_env=False
    ) as client:
        yield client
    ApiToken.objects.all().delete()


def _logs(lab: Lab, count: int) -> list[str]:
    return [str(lab.folder / f"part-{number}") for number in range(count)]


def test_a_divided_job_is_computed_by_several_processes_and_put_together(running: Lab) -> None:
    logs = _logs(running, 4)
    job = running.submit("lab.whole", logs=logs, units=1, gate=str(running.gate))
    # One process cannot begin two parts before the gate is open.
    running.until(lambda: sum(Path(log).exists() for log in logs) == 2, "two parts to begin")
    running.gate.touch()
    ended = running.reaches(job, "succeeded")
    parts = list(ended.parts.order_by("number"))
    assert ended.result == {"value": sum(part.result["value"] for part in parts)}
    assert [part.number for part in parts] == [1, 2, 3, 4]
    assert len({Path(log).read_text().split()[1] for log in logs}) == 2
    assert (ended.attempts, [part.attempts for part in parts]) == (1, [1] * 4)


def test_one_failed_part_is_tried_again_alone(running: Lab) -> None:
    logs = _logs(running, 3)
    (running.folder / "part-0").write_text("")
    ended = running.reaches(running.submit("lab.stumbling", logs=logs, stumbles=1), "succeeded")
    assert [part.attempts for part in ended.parts.order_by("number")] == [2, 2, 2]
    assert (ended.attempts, ended.result) == (1, {"value": 3})


def test_a_part_that_fails_for_good_fails_the_whole_and_stops_the_others(running: Lab) -> None:
    ended = running.reaches(
        running.submit("lab.stumbling", logs=_logs(running, 3), stumbles=9), "failed"
    )
    assert "failed: failed with ConnectionError; the log has the reason" in ended.error
    running.until(
        lambda: not ended.parts.exclude(status__in=("failed", "cancelled")).exists(),
        "the other parts to stop",
    )


def test_cancelling_a_divided_job_stops_all_its_parts(served: httpx.Client, running: Lab) -> None:
    body = {"logs": _logs(running, 6), "units": 1, "gate": str(running.gate)}
    location = served.post("/api/lab/whole", json=body).headers["location"]
    running.until(lambda: served.get(location).json()["progress"] > 0, "progress of the whole")
    assert served.delete(location).json()["status"] == "cancelled"
    from offload.jobs.models import Job

    whole = Job.objects.get(kind="lab.whole")
    running.until(
        lambda: whole.parts.filter(status="cancelled").count() == 6, "all parts to be cancelled"
    )


def test_a_job_that_is_cancelled_while_it_is_divided_has_no_parts(
    served: httpx.Client, running: Lab
) -> None:
    gate = str(running.gate)
    job = running.submit("lab.slowly_divided", logs=_logs(running, 2), units=1, gate=gate)
    running.until(
        lambda: served.get(f"/api/jobs/{job.pk}").json()["status"] == "running",
        "the job to be divided",
    )
    served.delete(f"/api/jobs/{job.pk}")
    running.gate.touch()
    assert not running.reaches(job, "cancelled").parts.exists()


def test_a_job_that_was_asked_to_stop_is_neither_handed_back_nor_tried_again(lab: Lab) -> None:
    from offload.jobs import transitions

    for give_up in (
        transitions.hand_back,
        lambda job: transitions.retry(job, "the disk is away", 0),
    ):
        claimed = transitions.claim(lab.submit("lab.burn").pk, uuid4(), 1)
        assert claimed
        transitions.request_cancel(claimed.pk)
        ended = give_up(claimed)
        assert ended
        assert ended.status == "cancelled"


def test_a_unique_job_is_given_again_while_it_is_unfinished(running: Lab) -> None:
    params = {"log": str(running.folder / "executions"), "gate": str(running.gate)}
    first, again = (running.submit("lab.unique", units=1, **params) for _ in range(2))
    assert first.pk == again.pk
    assert running.submit("lab.unique", units=2, **params).pk != first.pk
    running.gate.touch()
    running.reaches(first, "succeeded")
    assert running.submit("lab.unique", units=1, **params).pk != first.pk


def test_a_periodic_job_fires_once_a_tick_however_many_processes_run(running: Lab) -> None:
    from offload.jobs.models import Job

    running.worker("second")
    running.web()
    started = Job.objects.filter(kind="lab.tick").count()
    running.until(lambda: Job.objects.filter(kind="lab.tick").count() >= started + 3, "three ticks")
    ticks = list(Job.objects.filter(kind="lab.tick").values_list("idempotency_key", flat=True))
    assert len(ticks) == len(set(ticks))


def test_a_submit_inside_a_transaction_waits_for_its_commit(lab: Lab) -> None:
    from offload.jobs.models import Job

    with pytest.raises(RuntimeError), transaction.atomic():
        lab.submit("lab.burn")
        raise RuntimeError("roll back")
    assert not Job.objects.exists()


def test_the_same_key_at_the_same_time_makes_one_job(served: httpx.Client, running: Lab) -> None:
    from offload.jobs.models import Job

    body = {"log": str(running.folder / "executions"), "units": 1}
    answers: list[httpx.Response] = []

    def post() -> None:
        url = f"{served.base_url}/api/lab/burn"
        answers.append(httpx.post(url, json=body, headers=headers, timeout=60, trust_env=False))

    headers = dict(served.headers) | {"Idempotency-Key": "once"}
    threads = [threading.Thread(target=post) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answer.status_code for answer in answers] == [202] * 8
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert Job.objects.filter(kind="lab.burn").count() == 1


def test_an_event_stream_starts_with_the_newest_state_and_ends_with_the_job(
    served: httpx.Client, running: Lab
) -> None:
    log, gate = str(running.folder / "executions"), str(running.gate)
    body = {"log": log, "units": 1, "gate": gate}
    location = served.post("/api/lab/burn", json=body).headers["location"]
    versions, names = [], []
    with served.stream("GET", f"{location}/events", headers={"Last-Event-ID": "0"}) as stream:
        for line in stream.iter_lines():
            if line.startswith("id: "):
                versions.append(int(line[4:]))
            if line.startswith("event: "):
                names.append(line[7:])
            if len(names) == 2:
                running.gate.touch()
    assert versions == sorted(set(versions))
    assert (set(names[:-1]), names[-1]) == ({"progress"}, "succeeded")
    assert len(names) >= 3
    again = served.get(f"{location}/events", headers={"Last-Event-ID": str(versions[-2])}).text
    assert "event: succeeded" in again


def test_streams_go_on_without_redis(served: httpx.Client, running: Lab) -> None:
    log, gate = str(running.folder / "executions"), str(running.gate)
    body = {"log": log, "units": 1, "gate": gate}
    location = served.post("/api/lab/burn", json=body).headers["location"]
    running.until(lambda: served.get(location).json()["status"] == "running", "the job to run")
    running.kill("redis")
    with served.stream("GET", f"{location}/events") as stream:
        running.gate.touch()
        last = [json.loads(line[6:]) for line in stream.iter_lines() if line.startswith("data: ")][
            -1
        ]
    assert last["status"] == "succeeded"


def test_watchers_hold_no_thread_and_so_no_database_connection(
    served: httpx.Client, running: Lab
) -> None:
    jobs = [
        running.submit("lab.burn", log=str(running.folder / "executions"), units=4000)
        for _ in range(20)
    ]
    with contextlib.ExitStack() as open_streams:
        for job in jobs:
            stream = open_streams.enter_context(served.stream("GET", f"/api/jobs/{job.pk}/events"))
            assert next(stream.iter_lines()).startswith("id: ")
        # A client has the first event a moment before the view's thread is back.
        running.until(
            lambda: "offload_serving_threads_lent 0.0" in served.get("/metrics").text.splitlines(),
            "threads that are back",
        )


def test_a_strangers_job_is_not_found_at_any_address(served: httpx.Client, running: Lab) -> None:
    """Of every operation on one job that the API's document has, also those that come later."""
    strange = running.submit("lab.burn", owner="somebody else", units=1)
    paths = served.get("/api/openapi.json").json()["paths"]
    tried = 0
    for path, operations in paths.items():
        for method in operations if "{job_id}" in path else ():
            answer = served.request(method, path.replace("{job_id}", str(strange.pk)))
            found = (answer.status_code, answer.headers["content-type"])
            assert found == (404, "application/problem+json"), f"{method} {path}"
            tried += 1
    assert tried >= 5
    assert str(strange.pk) not in served.get("/api/jobs").text
    strange.refresh_from_db()
    assert strange.cancel_requested_at is None


def test_what_is_too_large_or_unknown_is_refused_in_a_sentence(lab: Lab) -> None:
    from offload.jobs.declare import find_job_type
    from offload.jobs.errors import ParamsTooLarge, ParamsUnfit, UnknownJobType

    with pytest.raises(
        ParamsUnfit,
        match="cannot be read back from JSON: weight: Input should be a valid",
    ):
        lab.submit("lab.burn", weight=float("nan"))
    with pytest.raises(ParamsTooLarge, match="put large inputs into storage"):
        lab.submit("lab.burn", log="x" * 70_000)
    with pytest.raises(UnknownJobType, match=r"no job type 'lab\.nothing': known are lab\.burn"):
        find_job_type("lab.nothing")


def test_a_wrong_declaration_is_refused_at_import(lab: Lab) -> None:
    from pydantic import BaseModel

    from offload.jobs import InvalidJob, Report, job

    class Model(BaseModel):
        pass

    async def waits(params: Model, report: Report) -> Model:
        return params

    def unannotated(params, report):  # type: ignore[no-untyped-def]
        return params

    def plain(params: dict, report: Report) -> Model:  # type: ignore[type-arg]
        return Model()

    limits: dict[str, Any] = {"time_limit": 1, "memory_limit": 1}
    for wrong, says in ((waits, "is async"), (unannotated, "must read"), (plain, "pydantic model")):
        with pytest.raises(InvalidJob, match=says):
            job("lab.wrong", **limits)(wrong)
    with pytest.raises(InvalidJob, match=r"declared twice: by .*\.burn and by .*\.fine_function"):
        job("lab.burn", **limits)(fine_function(Model, Report))
    with pytest.raises(InvalidJob, match="declares no queue 'gpu', only"):
        job("lab.wrong", queue="gpu", **limits)(fine_function(Model, Report))
    with pytest.raises(TypeError, match="memory_limit"):
        job("lab.limitless", time_limit=1)  # type: ignore[call-arg]


def fine_function(model: Any, report: Any) -> Any:
    def fine(params, report):  # type: ignore[no-untyped-def]
        return params

    fine.__annotations__ = {"params": model, "report": report, "return": model}
    return fine


def test_a_full_queue_answers_503_with_an_honest_retry_after(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    from offload.conf import conf
    from offload.jobs.admission import admit
    from offload.jobs.services import services
    from offload.jobs.stats import JobStats, QueueStats
    from offload.problems import Problem

    stats = JobStats()
    monkeypatch.setattr(services, "stats", stats)
    depth = conf().queue_depth
    stats.queues["cpu"] = QueueStats(depth=depth + 99, age=5.0, drain=10.0)
    with pytest.raises(Problem) as refused:
        admit("cpu", "ada")
    assert refused.value.status == 503
    # 100 too many, 10 a second, and some jitter.
    assert 10 <= int(refused.value.headers["Retry-After"]) <= 12
    stats.queues["cpu"] = QueueStats(depth=depth - 1, age=5.0, drain=10.0)
    admit("cpu", "ada")


@pytest.mark.parametrize(
    ("status", "rows", "drain", "seconds"),
    [
        ("queued", 30, 4.0, 7.5),
        ("queued", 0, 4.0, None),
        ("queued", 30, 0.0, None),
        ("running", 30, 4.0, None),
    ],
)
def test_a_start_is_expected_where_the_queue_tells(
    lab: Lab,
    monkeypatch: pytest.MonkeyPatch,
    status: str,
    rows: int,
    drain: float,
    seconds: float | None,
) -> None:
    from offload.jobs.models import Job
    from offload.jobs.services import services
    from offload.jobs.stats import JobStats, QueueStats
    from offload.jobs.why_waiting import expected_start_seconds

    stats = JobStats({"cpu": QueueStats(rows=rows, drain=drain)})
    monkeypatch.setattr(services, "stats", stats)
    job = Job(queue="cpu", status=status, due_at=timezone.now())
    assert expected_start_seconds(job) == seconds


@pytest.mark.parametrize("broker", ["up", "refused", "silent"])
async def test_a_submit_never_opens_a_socket_on_the_event_loop(lab: Lab, broker: str) -> None:
    """The loop's own thread is watched for connects, and its longest silence is told."""
    from labyrinth.lab.jobs import Work, burn

    from offload.jobs import lifespan, submit

    if broker != "refused":
        lab.redis()
    if broker == "silent":
        # SIGSTOP.
        lab.kill("redis", 19)
    # The addresses, and whether this test's own task connects.
    connects: list[tuple[str, bool]] = []
    loop_thread, submitting = threading.get_ident(), asyncio.current_task()

    def watch(event: str, arguments: Any) -> None:
        if watching and event == "socket.connect" and threading.get_ident() == loop_thread:
            connects.append((str(arguments[1]), asyncio.current_task() is submitting))

    watching = False
    sys.addaudithook(watch)
    longest, going = 0.0, True

    async def beat() -> None:
        nonlocal longest
        while going:
            before = time.perf_counter()
            await asyncio.sleep(0.001)
            longest = max(longest, time.perf_counter() - before - 0.001)

    async with lifespan({}):
        # Notifier and relay have connected to the broker.
        await asyncio.sleep(1.5)
        heart = asyncio.create_task(beat())
        watching, began = True, time.monotonic()
        for number in range(50):
            await submit(
                burn, Work(log=str(lab.folder / f"executions-{number}"), units=1), owner="lab"
            )
        watching = going = False
        took = time.monotonic() - began
        await heart
    print(f"broker {broker}: the loop's longest silence in 50 submits was {longest * 1000:.1f} ms")
    redis = [mine for address, mine in connects if str(lab.redis_port) in address]
    # The notifier's subscription tries again once a second, without blocking; a submit never does.
    assert not any(redis)
    assert len(redis) < 10 + took

"""Event streams and long polls: what they carry, when they end, and how many an owner may have."""

import asyncio
import gc
import json
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, aclosing
from typing import Any

import httpx
import pytest
from asgiref.sync import sync_to_async
from django.test import RequestFactory

from .conftest import Lab
from .families import claimed
from .test_web_process import gauge
from .web_process import STREAMS_PER_OWNER, client_of, failed_job, watch
from .web_process import api as api
from .web_process import web as web


def test_a_malformed_event_harms_no_stream(web: Lab, api: httpx.Client) -> None:
    from offload.jobs import transitions
    from offload.jobs.services import services

    job = claimed(web.submit("lab.burn", units=1).pk)
    lines: list[str] = []
    reader = watch(api, job, lines)
    redis = web.redis_client()
    web.until(lambda: api.get("/health/ready").json()["events"], "the subscription")
    strange = json.dumps(job.snapshot() | {"version": "next"})
    for message in ("not json", "{}", "[]", "7", "\xff", strange):
        assert redis.publish("labyrinth:jobs", message) == 1
    for name in "ab":
        progressed = transitions.progress(job, 0.5, name)
        assert progressed
        services.events.publish(progressed)
    ended = transitions.succeed(job, {"value": 1}, "")
    assert ended
    services.events.publish(ended)
    reader.join(30)
    assert "event: succeeded" in lines
    web.until(
        lambda: gauge(api, "offload_jobs_malformed_events_total") == 6, "all six to be counted"
    )
    assert gauge(api, "offload_jobs_notifier_restarts_total") == 0
    web.until(lambda: "is no event and is ignored" in web.log("web"), "the log to say so")
    assert web.log("web").count("is no event and is ignored") == 1


@pytest.mark.parametrize("signature", ["", "0" * 64, "of another version"])
def test_a_forged_event_shows_nothing_and_harms_no_stream(
    web: Lab, api: httpx.Client, signature: str
) -> None:
    from offload.jobs import transitions
    from offload.jobs.events import signed
    from offload.jobs.services import services

    job = claimed(web.submit("lab.burn", units=1).pk)
    lines: list[str] = []
    reader = watch(api, job, lines)
    web.until(lambda: api.get("/health/ready").json()["events"], "the subscription")
    forged = job.snapshot() | {"version": 2**62, "message": "forged"}
    if signature == "of another version":
        signature = signed(job.snapshot())["signature"]
    message = json.dumps(forged | {"signature": signature})
    assert web.redis_client().publish("labyrinth:jobs", message) == 1

    ended = transitions.succeed(job, {"value": 1}, "")
    assert ended
    services.events.publish(ended)
    reader.join(30)
    assert "event: succeeded" in lines
    assert "forged" not in str(lines)


async def test_a_notifier_that_fails_starts_again(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    from offload.jobs import notifier

    monkeypatch.setattr(notifier, "RESTART_PAUSE_SECONDS", 0.01)
    made = notifier.Notifier()
    runs, thrice = [], asyncio.Event()

    async def fails() -> None:
        runs.append(1)
        if len(runs) < 3:
            raise KeyError("id")
        thrice.set()
        await asyncio.sleep(60)

    monkeypatch.setattr(made, "_listen", fails)
    task = asyncio.create_task(made.run())
    async with asyncio.timeout(60):
        await thrice.wait()
    assert not task.done()
    task.cancel()


async def test_redis_is_not_blamed_for_a_time_in_which_the_process_stood_still(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loop stands still after a PING: its read ends without the answer that has come."""
    from offload.jobs import notifier

    class Enough(Exception):
        pass

    class Subscription:
        answers = [{"type": "subscribe", "data": 1}, None, None, {"type": "pong", "data": b""}]
        asked = False

        async def subscribe(self, channel: str) -> None:
            pass

        async def ping(self) -> None:
            self.asked = True

        async def get_message(self, **_: float) -> Any:
            if not self.answers:
                raise Enough
            if self.asked:
                time.sleep(2)  # noqa: ASYNC251  as if the loop stood still
                self.asked = False
            return self.answers.pop(0)

    monkeypatch.setattr(notifier, "PING_TIMEOUT_SECONDS", 1.5)
    with pytest.raises(Enough):
        await notifier.Notifier()._receive(Subscription())


def test_a_stream_has_what_an_event_source_needs(web: Lab, api: httpx.Client) -> None:
    from offload.jobs import transitions

    job = claimed(web.submit("lab.burn", units=1).pk)
    seen, fresh = [], []
    readers = [
        watch(api, job, seen, **{"Last-Event-ID": str(job.version)}),
        watch(api, job, fresh, **{"Last-Event-ID": "nonsense"}),
    ]
    ended = transitions.succeed(job, {"value": 1}, "")
    assert ended
    for reader in readers:
        reader.join(30)
    for lines in (seen, fresh):
        (retry,) = (line for line in lines if line.startswith("retry: "))
        assert 1000 <= int(retry.removeprefix("retry: ")) <= 4000
    # The first client has seen the state of the begin.
    assert "event: progress" not in seen
    assert "event: progress" in fresh
    assert "event: succeeded" in seen
    assert "event: succeeded" in fresh
    after = api.get(f"/api/jobs/{job.pk}/events", headers={"Last-Event-ID": str(ended.version)})
    assert (after.status_code, after.content) == (204, b"")


def test_clients_of_a_process_that_stops_do_not_come_back_together(
    web: Lab, api: httpx.Client
) -> None:
    from offload.jobs import transitions

    job = claimed(web.submit("lab.burn", units=1).pk)
    heard: list[list[str]] = [[] for _ in range(STREAMS_PER_OWNER)]
    readers = [watch(api, job, lines) for lines in heard]
    assert transitions.succeed(job, {"value": 1}, "")
    for reader in readers:
        reader.join(30)
    retries = [line for lines in heard for line in lines if line.startswith("retry: ")]
    assert len(retries) == STREAMS_PER_OWNER
    assert len(set(retries)) > 1


async def test_the_more_streams_a_process_has_the_later_they_come_back(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    from offload.jobs import notifier, watch
    from offload.jobs.services import services

    job = await sync_to_async(lab.submit)("lab.burn", units=1)
    bounds: list[tuple[int, int]] = []
    monkeypatch.setattr(watch.random, "randint", lambda *drawn: bounds.append(drawn) or 1000)
    monkeypatch.setattr(watch, "STREAMS_BACK_PER_SECOND", 0.5)
    monkeypatch.setattr(services, "notifier", notifier.Notifier())
    async with AsyncExitStack() as opened:
        for _ in range(4):
            events = watch._events(job, -1, None)
            await opened.enter_async_context(aclosing(events))
            assert (await anext(events)).startswith(b"id: ")
    assert bounds == [(1000, 4000), (1000, 4000), (1000, 6000), (1000, 8000)]


def test_the_stream_of_a_job_that_expires_ends(web: Lab, api: httpx.Client) -> None:
    job = claimed(web.submit("lab.burn", units=1).pk)
    lines: list[str] = []
    reader = watch(api, job, lines)
    job.delete()
    reader.join(30)
    assert not reader.is_alive()
    assert [line for line in lines if line.startswith("event: ")] == ["event: progress"]


@pytest.mark.parametrize("way", ["revoked", "expired"])
def test_a_stream_ends_soon_after_its_token_does(web: Lab, api: httpx.Client, way: str) -> None:
    from django.db.models.functions import Now

    from offload.access.models import ApiToken
    from offload.access.tokens import digest

    job = claimed(web.submit("lab.burn", units=1).pk)
    ended: list[str] = []
    going: list[str] = []
    reader = watch(api, job, ended)
    with client_of(web) as neighbour:
        other_reader = watch(neighbour, job, going)
        mine = ApiToken.objects.get(digest=digest(api.headers["Authorization"].split()[1]))
        if way == "revoked":
            mine.delete()
        else:
            ApiToken.objects.filter(pk=mine.pk).update(expires_at=Now())
        reader.join(30)
        assert not reader.is_alive()
        assert any(line.startswith(": The token was revoked") for line in ended)
        assert other_reader.is_alive()
        job.delete()
        other_reader.join(30)


def test_a_wait_ends_soon_after_its_token_does(web: Lab, api: httpx.Client) -> None:
    from offload.access.models import ApiToken
    from offload.access.tokens import digest

    job = claimed(web.submit("lab.burn", units=1).pk)
    address = f"/api/jobs/{job.pk}"
    with ThreadPoolExecutor() as threads:
        waiting = threads.submit(api.get, address, headers={"Prefer": "wait=25"})
        web.until(lambda: gauge(api, "offload_serving_streams_in_flight") == 1, "the wait")
        ApiToken.objects.filter(digest=digest(api.headers["Authorization"].split()[1])).delete()
        answer = waiting.result(60)
    assert answer.status_code == 401
    assert "revoked" in answer.json()["detail"]


def test_one_owners_streams_and_waits_leave_places_for_others(web: Lab, api: httpx.Client) -> None:
    job = claimed(web.submit("lab.burn", units=1).pk)
    readers = [watch(api, job, []) for _ in range(STREAMS_PER_OWNER)]
    for answer in (
        api.get(f"/api/jobs/{job.pk}/events"),
        api.get(f"/api/jobs/{job.pk}", headers={"Prefer": "wait=20"}),
    ):
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "5")
        assert "6 of your streams and waits" in answer.json()["detail"]

    theirs = claimed(web.submit("lab.burn", owner="neighbour", units=1).pk)
    with client_of(web, "neighbour") as neighbour:
        waited = neighbour.get(f"/api/jobs/{theirs.pk}", headers={"Prefer": "wait=1"})
    assert (waited.status_code, waited.json()["status"]) == (200, "running")
    job.delete()
    for reader in readers:
        reader.join(30)
    another = claimed(web.submit("lab.burn", units=1).pk)
    answer = api.get(f"/api/jobs/{another.pk}", headers={"Prefer": "wait=1"})
    assert answer.status_code == 200, "the places are free again"


def test_a_long_poll_takes_a_streams_place_and_no_requests(web: Lab, api: httpx.Client) -> None:
    from offload.jobs import transitions

    job = claimed(web.submit("lab.burn", units=1).pk)
    answers: list[httpx.Response] = []

    def poll() -> None:
        answers.append(api.get(f"/api/jobs/{job.pk}", headers={"Prefer": "wait=30"}))

    pollers = [threading.Thread(target=poll) for _ in range(4)]
    for poller in pollers:
        poller.start()
    web.until(lambda: gauge(api, "offload_serving_streams_in_flight") == 4, "four waits")
    web.until(lambda: gauge(api, "offload_serving_requests_in_flight") <= 1, "no requests")
    web.until(lambda: gauge(api, "offload_serving_threads_lent") == 0, "no threads")
    assert transitions.succeed(job, {"value": 1}, "")
    for poller in pollers:
        poller.join(30)
    assert [answer.json()["result"] for answer in answers] == [{"value": 1}] * 4
    web.until(lambda: gauge(api, "offload_serving_streams_in_flight") == 0, "no streams")


async def test_all_who_waited_for_a_job_have_its_result_by_one_query(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    from offload.jobs import notifier, shared_reads, transitions, watch
    from offload.jobs.services import services

    job = await sync_to_async(claimed)((await sync_to_async(lab.submit)("lab.burn", units=1)).pk)
    made = notifier.Notifier()
    monkeypatch.setattr(services, "notifier", made)
    read, reads = shared_reads._read, []
    monkeypatch.setattr(shared_reads, "_read", lambda pk: reads.append(pk) or read(pk))
    request = RequestFactory().get("/")
    waits = [asyncio.create_task(watch.wait_for_end(request, job, 30)) for _ in range(50)]
    late = asyncio.create_task(watch.wait_for_end(request, job, 0.5))
    assert (await late).status == "running"
    await sync_to_async(transitions.succeed)(job, {"value": 7}, "")
    await made._refresh([job.pk])
    found = await asyncio.gather(*waits)
    assert [row.result for row in found] == [{"value": 7}] * 50
    assert reads == [job.pk]


def test_a_watcher_sees_a_retry_and_what_follows(web: Lab, api: httpx.Client) -> None:
    from offload.jobs import transitions
    from offload.jobs.control import retry_job

    job = failed_job(web)
    assert "event: failed" in api.get(f"/api/jobs/{job.pk}/events").text
    with api.stream("GET", f"/api/jobs/{retry_job(job.pk, 'staff').pk}/events") as stream:
        lines = stream.iter_lines()
        assert any(line == "event: progress" for line in lines)
        transitions.succeed(claimed(job.pk), {"value": 1}, "")
        assert any(line == "event: succeeded" for line in lines)


async def test_a_read_that_fails_leaves_no_long_poll_to_the_garbage_collector(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from django.db import OperationalError

    from offload.jobs import shared_reads
    from offload.jobs.models import Job

    def fail(_: object) -> None:
        raise OperationalError("the database is away") from ValueError("as the driver says")

    monkeypatch.setattr(shared_reads, "retry_conflicts", fail)
    reads = shared_reads.SharedReads()
    kept: list[weakref.ref[Any]] = []
    causes: list[str] = []

    async def poll() -> None:
        request = RequestFactory().get("/")
        kept.append(weakref.ref(request))
        try:
            await reads.whole(Job())
        except OperationalError as error:
            causes.append(repr(error.__cause__))

    gc.disable()
    try:
        await asyncio.gather(poll(), poll())
        assert causes == ["ValueError('as the driver says')"] * 2
        assert [each() for each in kept] == [None, None]
    finally:
        gc.enable()

"""Events and cancels of several jobs over one WebSocket."""

from typing import Any

from jobs.conftest import Lab
from jobs.families import claimed

from .client import hear, opened, say, subscribe, until
from .conftest import figure


def publish(job: Any) -> Any:
    from offload.jobs.services import services

    assert job is not None
    services.events.publish(job)
    return job


def test_one_socket_has_the_events_of_several_jobs_with_their_versions(
    web: Lab, token: str
) -> None:
    from offload.jobs import transitions

    first, second = (claimed(web.submit("lab.burn", units=1).pk) for _ in range(2))
    with opened(web, token) as client:
        assert client.subprotocol == "offload.v1"
        subscribe(client, first, second)
        told = [hear(client) for _ in range(4)]
        assert sorted(each["type"] for each in told) == ["progress"] * 2 + ["subscribed"] * 2
        assert {each["job"]["status"] for each in told} == {"running"}
        web.until(lambda: figure(web, "offload_jobs_events_subscribed") == 1, "the subscription")
        versions = [first.version]
        for fraction in (0.25, 0.5):
            publish(transitions.progress(first, fraction, "on it"))
            told_of = until(client, "progress")
            assert (told_of["id"], told_of["job"]["progress"]) == (str(first.pk), fraction)
            versions.append(told_of["version"])
        assert versions == sorted(set(versions))
        publish(transitions.succeed(second, {"value": 1}, ""))
        ended = until(client, "succeeded")
        assert ended["id"] == ended["job"]["id"] == str(second.pk)
        publish(transitions.fail(first, "the disk is full"))
        assert until(client, "failed")["job"]["error"] == "the disk is full"
        say(client, "unsubscribe", jobs=[str(first.pk)], ref="last")
        assert hear(client) == {
            "type": "unsubscribed",
            "ref": "last",
            "id": None,
            "version": None,
            "job": None,
            "problem": None,
        }


def test_a_client_that_connects_again_has_what_it_missed_and_nothing_twice(
    web: Lab, token: str
) -> None:
    from offload.jobs import transitions

    job = claimed(web.submit("lab.burn", units=1).pk)
    with opened(web, token) as client:
        subscribe(client, job)
        seen = until(client, "progress")["version"]
    with opened(web, token) as client:
        subscribe(client, job, after=seen)
        assert hear(client)["type"] == "subscribed"
        say(client, "unsubscribe", jobs=[str(job.pk)])
        assert hear(client)["type"] == "unsubscribed", "no event: it was seen"
    ended = transitions.succeed(job, {"value": 1}, "")
    assert ended is not None
    with opened(web, token) as client:
        subscribe(client, job, after=seen)
        assert until(client, "succeeded")["version"] == ended.version
        subscribe(client, job, after=ended.version)
        assert (hear(client)["type"], web.submit("lab.burn", units=1).status) == (
            "subscribed",
            "queued",
        )


def test_a_job_is_cancelled_over_the_socket_while_a_worker_computes_it(
    web: Lab, token: str
) -> None:
    web.worker()
    job = web.submit("lab.burn", units=100_000)
    with opened(web, token) as client:
        subscribe(client, job)
        web.computes(job)
        say(client, "cancel", job=str(job.pk), ref="c")
        answer = until(client, "accepted")
        assert (answer["ref"], answer["id"]) == ("c", str(job.pk))
        assert until(client, "cancelled")["job"]["status"] == "cancelled"
    web.kill("worker")


def test_what_no_event_has_told_comes_when_the_rows_are_read_again(web: Lab, token: str) -> None:
    from offload.jobs import transitions

    ending, expiring = (claimed(web.submit("lab.burn", units=1).pk) for _ in range(2))
    with opened(web, token) as client:
        subscribe(client, ending, expiring)
        for _ in range(4):
            hear(client)
        expired = str(expiring.pk)
        expiring.delete()
        assert transitions.succeed(ending, {"value": 1}, "")
        told = {(each["type"], each["id"]) for each in (hear(client), hear(client))}
        assert told == {("expired", expired), ("succeeded", str(ending.pk))}

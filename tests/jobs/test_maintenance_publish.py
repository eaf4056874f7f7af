"""Rows that lost their messages get new ones, once, whoever leads; rows that nobody can compute
harm no others.
"""

import collections
import time
from typing import Any
from uuid import uuid4

import pytest

from .conftest import Lab
from .test_maintenance import RecordingBroker, divided_job


class CountingBroker(RecordingBroker):
    """A broker that keeps its messages. Several processes share them."""

    def __init__(self, messages: "list[str] | None" = None, answers: bool = True) -> None:
        super().__init__()
        self.messages = [] if messages is None else messages
        self.answers = answers

    def publish(self, messages: Any) -> bool:
        before = len(self.unmarked)
        super().publish(messages)
        self.messages += self.unmarked[before:]
        return True

    def depth(self, queue: str) -> int:
        from offload.jobs.relay import BrokerUnavailable

        if not self.answers:
            raise BrokerUnavailable
        return len(self.messages) if queue == "cpu" else 0

    def check(self) -> bool:
        return self.answers


def process(broker: Any) -> Any:
    """The maintenance of one process, and its stats."""
    from offload.jobs.events import EventPublisher
    from offload.jobs.maintenance.runner import Maintenance
    from offload.jobs.stats import JobStats

    stats = JobStats()
    maintenance = Maintenance(broker, stats, EventPublisher())
    maintenance.stats = stats  # type: ignore[attr-defined]
    return maintenance


def insert(count: int, seconds: float = 60.0, **values: Any) -> None:
    """Jobs that have been due for `seconds`."""
    from offload.jobs.declare import find_job_type
    from offload.jobs.models import Job
    from offload.jobs.row_states import from_now

    burn = find_job_type("lab.burn")
    rows = [Job.new(burn, burn.params(log="x"), "lab") for _ in range(count)]
    Job.objects.bulk_create(rows)
    ids = [row.pk for row in rows]
    Job.objects.filter(pk__in=ids).update(due_at=from_now(-seconds), **values)


def worker(*kinds: str, queues: tuple[str, ...] = ("cpu", "default")) -> None:
    from offload.jobs.models import Worker

    known = sorted(kinds)
    Worker.objects.create(id=uuid4(), name="w", queues=list(queues), slots=1, kinds=known)


def another_leads() -> None:
    from offload.jobs.models import Leader

    Leader.objects.all().delete()


@pytest.fixture
def quiet(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Lab:
    """The lab without its periodic job. A lead ends by `another_leads` alone."""
    from offload.jobs.maintenance import enqueue_periodic, leader

    monkeypatch.setattr(enqueue_periodic, "all_job_types", list)
    monkeypatch.setattr(leader, "LEADER_LEASE_SECONDS", 3600.0)
    return lab


def test_a_backlog_is_published_once_by_all_leaders_together(quiet: Lab) -> None:
    insert(1200)
    messages: list[str] = []
    processes = [process(CountingBroker(messages)) for _ in range(3)]
    for turn in range(6):
        another_leads()
        processes[turn % 3].run()
    assert len(messages) == len(set(messages)) == 1200


def test_an_emptied_broker_gets_each_message_once_by_all_leaders_together(quiet: Lab) -> None:
    insert(1200)
    messages: list[str] = []
    processes = [process(CountingBroker(messages)) for _ in range(3)]
    for phase in range(2):
        messages.clear()
        for turn in range(6):
            another_leads()
            processes[(turn + phase) % 3].run()
    assert len(messages) == len(set(messages)) == 1200


def test_one_run_publishes_a_bounded_number(quiet: Lab) -> None:
    from offload.jobs.maintenance.find_unpublished import PUBLISH_BATCH_ROWS

    insert(PUBLISH_BATCH_ROWS + 10)
    broker = CountingBroker()
    process(broker).run()
    assert len(broker.messages) == PUBLISH_BATCH_ROWS


def test_a_row_without_message_is_published_although_the_broker_holds_others(quiet: Lab) -> None:
    insert(1)
    broker = CountingBroker(["a neighbour's"] * 50)
    process(broker).run()
    assert len(broker.messages) == 51


def test_a_type_that_no_worker_knows_is_counted_and_stops_no_other_row(quiet: Lab) -> None:
    from offload.conf import conf
    from offload.jobs.models import Job

    worker("lab.burn")
    insert(600, seconds=4000, kind="lab.renamed")
    insert(3)
    broker = CountingBroker()
    maintenance = process(broker)
    for _ in range(3):
        maintenance.run()

    mine = {str(job.pk) for job in Job.objects.filter(kind="lab.burn")}
    assert collections.Counter(broker.messages) == dict.fromkeys(mine, 1)
    assert maintenance.stats.unserved == {"cpu": {"lab.renamed": 600}}
    # Else the queue would take no more jobs.
    assert maintenance.stats.queues["cpu"].age < conf().queue_age


def test_parts_in_a_queue_that_no_worker_reads_are_told(quiet: Lab) -> None:
    """Their age is in no figure, and a worker of another queue runs."""
    from prometheus_client import REGISTRY

    def unread() -> float | None:
        return REGISTRY.get_sample_value("offload_jobs_unread", {"queue": "cpu"})

    worker("lab.told", queues=("default",))
    divided_job(quiet, 3)
    leader = process(CountingBroker())
    leader.run()
    assert (leader.stats.workers, leader.stats.queues["cpu"].depth) == (1, 0)
    assert unread() == 3

    worker("lab.burn", queues=("cpu",))
    leader.run()
    assert unread() == 0


@pytest.fixture
def every_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """`FailUnknown` runs at every look."""
    from offload.jobs.maintenance import give_up

    monkeypatch.setattr(give_up, "UNKNOWN_INTERVAL_SECONDS", -1.0)


@pytest.mark.parametrize(
    ("values", "status"),
    [
        ({"kind": "lab.renamed"}, "failed"),
        ({"queue": "removed"}, "failed"),
        ({"kind": "lab.renamed", "seconds": 80_000.0}, "queued"),
        ({"queue": "removed", "seconds": 80_000.0}, "queued"),
        # Declared, and its workers are away.
        ({"queue": "default"}, "queued"),
        ({}, "queued"),
    ],
)
def test_a_row_that_no_worker_can_compute_fails_after_a_day(
    quiet: Lab, every_run: None, values: dict[str, Any], status: str
) -> None:
    from offload.jobs.models import Job

    worker("lab.burn", queues=("cpu",))
    insert(1, **({"seconds": 90_000.0} | values))
    process(CountingBroker()).run()
    job = Job.objects.get()
    assert job.status == status
    assert ("has known the job type" in job.error) == (status == "failed")


def test_nothing_fails_while_no_worker_has_been_there(quiet: Lab, every_run: None) -> None:
    from offload.jobs.models import Job

    insert(1, seconds=90_000.0, kind="lab.renamed")
    process(CountingBroker()).run()
    assert Job.objects.get().status == "queued"


def test_a_type_that_only_some_workers_know_is_not_published_at_every_look(quiet: Lab) -> None:
    worker("lab.burn")
    worker("lab.burn", "lab.new")
    insert(1, kind="lab.new")
    broker = CountingBroker()
    maintenance = process(broker)
    for _ in range(3):
        maintenance.run()
        # A worker of the old release discards it.
        discarded = len(broker.messages)
        broker.messages.clear()
        assert discarded <= 1
    assert len(set(broker.published)) == 1
    assert not broker.messages


def test_a_leader_that_does_not_reach_the_broker_is_replaced_by_one_that_does(quiet: Lab) -> None:
    insert(1)
    cut_off, well = CountingBroker(answers=False), CountingBroker()
    first, second = process(cut_off), process(well)
    another_leads()
    # The first run finds out about the broker; the second tells the others.
    first.run()
    first.run()
    second.run()
    assert len(well.messages) == 1
    first.run()
    insert(1)
    second.run()
    assert len(well.messages) == 2


@pytest.mark.parametrize(("leases", "is_taken"), [(0.5, False), (1.5, False), (2.5, True)])
def test_a_lead_of_a_clock_that_was_ahead_does_not_outlive_its_holder(
    quiet: Lab, leases: float, is_taken: bool
) -> None:
    """The holder is dead, and the database's clock was put back."""
    from offload.jobs.maintenance.leader import LEADER_LEASE_SECONDS
    from offload.jobs.models import Leader
    from offload.jobs.row_states import from_now

    first, second = (process(CountingBroker()) for _ in range(2))
    another_leads()
    first.run()
    dead = Leader.objects.get().holder
    Leader.objects.update(until=from_now(leases * LEADER_LEASE_SECONDS))
    second.run()
    assert (Leader.objects.get().holder != dead) == is_taken


def test_without_any_broker_somebody_leads_all_the_same(quiet: Lab) -> None:
    from offload.jobs.models import Leader

    first, second = (process(CountingBroker(answers=False)) for _ in range(2))
    first.run()
    holder = Leader.objects.get().holder
    second.run()
    first.run()
    assert Leader.objects.get().holder == holder


def test_a_silent_broker_does_not_hinder_the_rescue_of_lost_jobs(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each look waits for it once. Three waits would be longer than a gap in the observation."""
    from offload.jobs import relay
    from offload.jobs.relay import Broker

    # However long this look takes.
    monkeypatch.setattr(relay, "FAILURE_PAUSE_SECONDS", 60.0)
    asked = []

    def wait_in_vain(self: Any, queue: str) -> int:
        asked.append(time.monotonic())
        raise TimeoutError("timed out")

    monkeypatch.setattr(Broker, "_count", wait_in_vain)
    monkeypatch.setattr(Broker, "_send", wait_in_vain)
    insert(3)
    broker = Broker()
    maintenance = process(broker)
    maintenance.run()
    assert len(asked) == 1
    assert not maintenance.stats.broker


def test_every_process_knows_what_the_leader_read_and_when(quiet: Lab) -> None:
    from offload.jobs.models import Leader
    from offload.jobs.row_states import from_now

    worker("lab.burn")
    insert(7)
    leader, other = process(CountingBroker()), process(CountingBroker())
    leader.run()
    Leader.objects.update(stats_at=from_now(-3))
    other.run()

    cpu = other.stats.queues["cpu"]
    assert (cpu.depth, cpu.rows, other.stats.workers) == (7, 7, 1)
    assert 60 <= cpu.age < 90
    assert 3 <= other.stats.age() < 30
    assert leader.stats.age() < 30


def test_back_pressure_counts_no_parts_and_no_time_before_a_job_was_due(quiet: Lab) -> None:
    from offload.jobs import transitions
    from offload.jobs.models import Job
    from offload.jobs.row_states import from_now

    _, parts = divided_job(quiet, 4)
    for part in parts:
        claimed = transitions.claim(part.pk, uuid4(), 1)
        assert claimed
        if part is not parts[-1]:
            transitions.succeed(claimed, {"value": 1}, "")
    Job.objects.update(created_at=from_now(-3700))
    transitions.succeed(Job.objects.get(pk=parts[-1].pk), {"value": 1}, "")
    _, waiting_parts = divided_job(quiet, 30)

    maintenance = process(CountingBroker())
    maintenance.run()
    cpu = maintenance.stats.queues["cpu"]
    assert (cpu.depth, cpu.rows) == (1, 1 + len(waiting_parts))
    assert cpu.age < 60


def test_jobs_that_were_cancelled_in_their_queue_are_no_drain(quiet: Lab) -> None:
    from offload.jobs import transitions

    for _ in range(30):
        transitions.request_cancel(quiet.submit("lab.burn", units=1).pk)
    computed = transitions.claim(quiet.submit("lab.burn", units=1).pk, uuid4(), 1)
    assert computed
    transitions.succeed(computed, {"value": 1}, "")

    worker("lab.burn")
    maintenance = process(CountingBroker())
    maintenance.run()
    assert maintenance.stats.queues["cpu"].drain == pytest.approx(1 / 60)


@pytest.mark.parametrize("paused", [False, True])
def test_no_start_is_expected_once_the_workers_have_gone_or_in_a_pause(
    quiet: Lab, monkeypatch: pytest.MonkeyPatch, paused: bool
) -> None:
    from offload.jobs import transitions
    from offload.jobs.control import pause
    from offload.jobs.models import Job, Worker
    from offload.jobs.services import services
    from offload.jobs.why_waiting import expected_start_seconds

    computed = transitions.claim(quiet.submit("lab.burn", units=1).pk, uuid4(), 1)
    assert computed
    transitions.succeed(computed, {"value": 1}, "")
    waiting = quiet.submit("lab.burn", units=1)
    quiet.submit("lab.gil", units=1)

    maintenance = process(CountingBroker())

    def expected() -> float | None:
        maintenance.run()
        monkeypatch.setattr(services, "stats", maintenance.stats)
        return expected_start_seconds(Job.objects.get(pk=waiting.pk))

    worker("lab.burn", "lab.gil")
    assert expected() == 120.0
    if paused:
        pause(kind="lab.burn", by="the tests")
    else:
        Worker.objects.all().delete()
    assert expected() is None


def test_a_periodic_job_is_submitted_once_an_interval_although_its_row_was_deleted(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    import dataclasses

    from offload.jobs import declare
    from offload.jobs.models import Job

    tick = declare.find_job_type("lab.tick")
    weekly = dataclasses.replace(tick, limits=dataclasses.replace(tick.limits, every=1e9))
    monkeypatch.setattr(declare, "_job_types", {tick.name: weekly})

    process(CountingBroker()).run()
    assert Job.objects.count() == 1
    Job.objects.all().delete()
    another_leads()
    process(CountingBroker()).run()
    assert not Job.objects.exists()


@pytest.mark.parametrize(
    ("stats", "count", "shortest"),
    [
        ({"depth": 9_999, "drain": 1.0}, 1, None),
        ({"depth": 10_000, "drain": 1.0}, 1, 1),
        # A batch is refused as a whole, until there is room for it.
        ({"depth": 9_990, "drain": 1.0}, 40, 30),
        # Nothing has ended lately.
        ({"depth": 10_000}, 1, 60),
        # Too old: it says nothing how quickly others are computed.
        ({"depth": 9_000, "drain": 1.0, "age": 9_000.0}, 1, 60),
    ],
)
def test_a_queue_answers_when_it_has_room_for_so_many(
    monkeypatch: pytest.MonkeyPatch, stats: dict[str, float], count: int, shortest: int | None
) -> None:
    from offload.jobs.admission import admit
    from offload.jobs.services import services
    from offload.jobs.stats import JobStats, QueueStats
    from offload.problems import Problem

    queues = {"cpu": QueueStats(**stats)}  # type: ignore[arg-type]
    monkeypatch.setattr(services, "stats", JobStats(queues))
    if shortest is None:
        admit("cpu", "ada", count)
        return
    with pytest.raises(Problem) as refused:
        admit("cpu", "ada", count)
    retry_after = int(refused.value.headers["Retry-After"])
    assert shortest <= retry_after <= shortest * 1.2 + 1

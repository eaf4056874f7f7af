"""Which waiting job starts first: priorities, and fairness between owners."""

import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .conftest import Lab
from .test_maintenance_publish import CountingBroker, insert, process, quiet

__all__ = ["quiet"]


class SortingBroker(CountingBroker):
    """A broker that notes the order in which it got its messages, and their owners."""

    def __init__(self) -> None:
        super().__init__()
        self.got: list[Any] = []

    def publish(self, messages: Any) -> bool:
        listed = list(messages)
        self.got += listed
        return super().publish(listed)


def backlogs(*read: dict[str, dict[str, int]]) -> Any:
    """The backlogs of a process that has read the leader's counts in this order."""
    from offload.jobs.priority import OwnerBacklogs

    left = list(read)
    counted: list[dict[str, dict[str, int]]] = [{}]

    def next_reading() -> None:
        counted[0] = left.pop(0)

    found = OwnerBacklogs(lambda: counted[0])
    found.next_reading = next_reading  # type: ignore[attr-defined]
    return found


@pytest.mark.parametrize(
    ("priority", "waiting", "step"),
    [
        ("high", 3, 0),
        ("high", 100_000, 1),
        ("normal", 0, 2),
        ("normal", 4, 3),
        ("normal", 32, 4),
        ("normal", 256, 5),
        ("low", 3, 6),
        ("low", 100_000, 9),
    ],
)
def test_a_message_waits_behind_smaller_owners_and_higher_priorities(
    priority: Any, waiting: int, step: int
) -> None:
    from offload.jobs.priority import Priority, step_of

    assert step_of(Priority.named(priority), waiting) == step


def test_a_burst_counts_at_once_and_until_the_leader_has_counted_it() -> None:
    from offload.jobs.priority import Priority

    found = backlogs({}, {"cpu": {"large": 290}}, {"cpu": {"large": 10}}, {})

    def step(owner: str) -> int:
        return int(found.next_step("cpu", owner, Priority.NORMAL))

    assert [step("large") for _ in range(5)] == [2, 2, 2, 2, 3]
    for _ in range(295):
        step("large")
    assert (step("large"), step("small")) == (5, 2)

    # A count from before the burst.
    found.next_reading()
    assert (step("large"), step("small")) == (5, 2)
    found.next_reading()
    assert step("large") == 5
    found.next_reading()
    assert (step("large"), step("small")) == (3, 2)
    found.next_reading()
    assert (step("large"), step("small")) == (2, 2)


def test_a_part_has_its_wholes_priority_and_a_join_waits_for_no_other_job(lab: Lab) -> None:
    from offload.jobs import submit_sync
    from offload.jobs.declare import find_job_type
    from offload.jobs.relay import JobMessage

    from .families import claimed, parts_of

    whole = find_job_type("lab.whole")
    params = whole.params(logs=["/dev/null"] * 2)
    job = claimed(submit_sync(whole, params, owner="lab\tlab", priority="low").pk)
    (part, _) = parts_of(job)
    assert (JobMessage.of(part).priority, JobMessage.of(part).owner) == ("2", "lab lab")
    job.phase = "join"
    assert JobMessage.of(job).owner == ""


def test_an_unknown_priority_is_refused(lab: Lab) -> None:
    from offload.jobs import submit_sync
    from offload.jobs.declare import find_job_type
    from offload.jobs.models import Job

    burn = find_job_type("lab.burn")
    with pytest.raises(ValueError, match="'high', 'normal' or 'low', not 'urgent'"):
        submit_sync(burn, burn.params(log="x"), owner="lab", priority="urgent")  # type: ignore[arg-type]
    assert not Job.objects.exists()


def test_the_leader_counts_the_owners_with_the_most_waiting_jobs(
    quiet: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    from offload.jobs.maintenance import read_stats
    from offload.jobs.models import Job

    monkeypatch.setattr(read_stats, "MAX_COUNTED_OWNERS", 2)
    for owner, count in (("a", 3), ("b", 5), ("c", 40), ("d", 7)):
        insert(count)
        Job.objects.filter(owner="lab").update(owner=owner)
    leader, other = process(CountingBroker()), process(CountingBroker())
    leader.run()
    other.run()
    assert leader.stats.owners == other.stats.owners == {"cpu": {"c": 40, "d": 7}}


def test_the_leader_counts_the_owners_who_may_not_submit_for_now(
    quiet: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    from offload.conf import conf
    from offload.jobs.admission import admit
    from offload.jobs.maintenance import read_stats
    from offload.jobs.models import Job
    from offload.jobs.row_states import from_now
    from offload.jobs.services import services
    from offload.problems import Problem

    few = dataclasses.replace(conf(), jobs_per_owner=5)
    monkeypatch.setattr(read_stats, "conf", lambda: few)
    for owner, count in (("full", 5), ("one-less", 4), ("later", 9), ("parts", 9)):
        insert(count)
        Job.objects.filter(owner="lab").update(owner=owner)
    Job.objects.filter(owner="later").update(due_at=from_now(3600))
    Job.objects.filter(owner="parts").update(number=1)
    leader, other = process(CountingBroker()), process(CountingBroker())
    leader.run()
    other.run()
    assert leader.stats.full_owners == other.stats.full_owners == {"cpu": ["full"]}

    monkeypatch.setattr(services, "stats", other.stats)
    with pytest.raises(Problem) as refused:
        admit("cpu", "full")
    assert (refused.value.status, refused.value.headers["Retry-After"]) == (429, "60")
    for queue, owner in (("default", "full"), ("cpu", "one-less"), ("cpu", "later")):
        admit(queue, owner)

    Job.objects.filter(owner="full").first().delete()  # type: ignore[union-attr]
    leader.run()
    assert leader.stats.full_owners == {}


def test_an_emptied_broker_gets_the_messages_of_small_owners_first(
    quiet: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    from offload.jobs.maintenance import find_unpublished
    from offload.jobs.models import Job

    monkeypatch.setattr(find_unpublished, "PUBLISH_BATCH_ROWS", 10)
    insert(100)
    Job.objects.update(owner="large")
    insert(3, seconds=1)
    broker = SortingBroker()
    maintenance = process(broker)
    maintenance.run()
    assert [message.owner for message in broker.got] == ["lab"] * 3 + ["large"] * 7

    # Redis loses the messages of rows that were published, too.
    for _ in range(11):
        maintenance.run()
    broker.messages.clear()
    broker.got.clear()
    maintenance.run()
    assert [message.owner for message in broker.got] == ["lab"] * 3 + ["large"] * 7


def test_a_tenth_of_what_is_computed_goes_to_the_rows_that_wait_longest(quiet: Lab) -> None:
    from offload.jobs.maintenance.find_unpublished import PublishOldest
    from offload.jobs.maintenance.read_stats import DueRows
    from offload.jobs.models import Job
    from offload.jobs.row_states import from_now
    from offload.jobs.stats import JobStats, QueueStats

    insert(20, published_at=from_now(-30))
    starved = list(Job.objects.order_by("pk").values_list("pk", flat=True)[:5])
    for seconds, job_id in enumerate(starved):
        Job.objects.filter(pk=job_id).update(published_at=from_now(seconds - 100))

    broker = SortingBroker()
    due_rows = DueRows({("cpu", "lab.burn"): 20})
    stats = JobStats({"cpu": QueueStats(drain=10.0)})
    duty = PublishOldest(broker, stats, lambda: due_rows)  # type: ignore[arg-type]
    duty.run()
    assert broker.got == []

    duty._last_run -= 2.1
    duty.run()
    assert [message.job_id for message in broker.got] == [str(pk) for pk in starved[:2]]
    assert {(message.priority, message.owner) for message in broker.got} == {("0", "")}

    # Those two wait for another minute; the other rows have waited for half a minute.
    duty._last_run -= 30.0
    duty.run()
    assert [message.job_id for message in broker.got] == [str(pk) for pk in starved]


def starts(log: Path) -> list[str]:
    """The jobs of a shared log in the order in which they began."""
    return [line.split()[1] for line in log.read_text().splitlines() if line.startswith("start")]


@pytest.fixture
def one_slot(lab: Lab) -> Iterator[Any]:
    """Redis and a worker of one slot that is busy with a first job; `go()` lets it go on."""
    lab.redis()
    lab.worker(slots=1)
    gate, log = lab.folder / "gate", lab.folder / "starts"
    log.touch()
    first = lab.submit("lab.noted", log=str(log), name="first", gate=str(gate))
    lab.until(lambda: "first" in starts(log), "the first job to begin")

    def order_of(*jobs: Any) -> list[str]:
        """Let the first job end; the order of all, once these have succeeded."""
        lab.until(lambda: lab.messages("cpu") >= len(jobs), "all messages to be published")
        gate.touch()
        for job in (first, *jobs):
            lab.reaches(job, "succeeded")
        return starts(log)[1:]

    order_of.log = str(log)  # type: ignore[attr-defined]
    return order_of


def test_a_small_owners_job_waits_for_few_jobs_of_a_large_one(lab: Lab, one_slot: Any) -> None:
    large = [
        lab.submit("lab.noted", owner="large", log=one_slot.log, name="large") for _ in range(100)
    ]
    lab.until(lambda: lab.messages("cpu") >= 100, "the large owner's messages")
    small = lab.submit("lab.noted", owner="small", log=one_slot.log, name="small")
    order = one_slot(*large, small)
    assert sorted(order) == ["large"] * 100 + ["small"]
    print(f"\n{order.index('small')} of 100 jobs of a large owner began before a small one's")
    assert order.index("small") <= 4


def test_jobs_of_a_high_priority_start_first_and_those_of_a_low_one_last(
    lab: Lab, one_slot: Any
) -> None:
    from offload.jobs import submit_sync
    from offload.jobs.declare import find_job_type

    noted = find_job_type("lab.noted")
    jobs = []
    for priority in ("low", "normal", "high") * 3:
        params = noted.params(log=one_slot.log, name=priority)
        jobs.append(submit_sync(noted, params, owner="lab", priority=priority))
        # The order within a priority is not the subject.
        time.sleep(0.01)
    assert one_slot(*jobs) == ["high"] * 3 + ["normal"] * 3 + ["low"] * 3

"""What a submit accepts, and what it gives back when it is repeated."""

import dataclasses
import threading
from functools import partial
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async

from .conftest import Lab
from .families import claimed
from .test_contention import at_once, errors

NUL = "\x00"


def key(name: str, fingerprint: str = "one body") -> Any:
    from offload.jobs import Idempotency

    return Idempotency(name, fingerprint)


async def submit(kind: str, log: str, idempotency: Any = None, **values: Any) -> Any:
    from offload.jobs import submit
    from offload.jobs.declare import find_job_type

    found = find_job_type(kind)
    params = found.params(log=log, units=1)
    return await submit(found, params, owner="lab", idempotency=idempotency, **values)


def end(job: Any) -> None:
    from offload.jobs import transitions

    assert transitions.succeed(claimed(job.pk), {"value": 1}, "")


async def test_a_key_is_kept_where_a_unique_job_stood_in_the_way(lab: Lab) -> None:
    first = await submit("lab.unique", "/dev/null", key("first"))
    for name in ("second", "third", "second"):
        assert (await submit("lab.unique", "/dev/null", key(name))).pk == first.pk
    await sync_to_async(end)(first)
    for name in ("first", "second", "third"):
        assert (await submit("lab.unique", "/dev/null", key(name))).pk == first.pk
    assert (await submit("lab.unique", "/dev/null", key("fourth"))).pk != first.pk
    assert (await submit("lab.unique", "/dev/null")).pk != first.pk


async def test_a_key_that_a_unique_job_keeps_refuses_another_request(lab: Lab) -> None:
    from offload.jobs import repeated
    from offload.jobs.declare import find_job_type
    from offload.problems import Problem

    first = await submit("lab.unique", "/dev/null", key("first"))
    assert (await submit("lab.unique", "/dev/null", key("second"))).pk == first.pk
    for log in ("/dev/null", "/dev/zero"):
        with pytest.raises(Problem) as refused:
            await submit("lab.unique", log, key("second", "another body"))
        assert refused.value.status == 422
    found = await repeated(find_job_type("lab.unique"), owner="lab", idempotency=key("second"))
    assert found
    assert found.pk == first.pk


async def test_a_repeated_request_gets_its_job_from_a_full_queue_too(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    from offload.conf import conf
    from offload.jobs.services import services
    from offload.jobs.stats import JobStats, QueueStats
    from offload.problems import Problem

    first = await submit("lab.burn", "/dev/null", key("first"))
    full = JobStats({"cpu": QueueStats(depth=conf().queue_depth, age=5.0, drain=10.0)})
    monkeypatch.setattr(services, "stats", full)
    assert (await submit("lab.burn", "/dev/null", key("first"))).pk == first.pk
    for idempotency in (key("second"), None):
        with pytest.raises(Problem) as refused:
            await submit("lab.burn", "/dev/null", idempotency)
        assert refused.value.status == 503


async def test_a_request_id_of_the_longest_kind_fits(lab: Lab) -> None:
    job = await submit("lab.burn", "/dev/null", request_id="x" * 128)
    await sync_to_async(job.refresh_from_db)()
    assert job.request_id == "x" * 128
    longer = await submit("lab.burn", "/dev/null", request_id="x" * 300)
    assert longer.request_id == "x" * 128


async def test_every_way_to_submit_gives_a_job_the_id_of_its_request(lab: Lab) -> None:
    from labyrinth.lab.jobs import Work, burn

    from offload.jobs import submit_many, submit_sync
    from offload.jobs.client import insert
    from offload.serving.middleware import request_id

    request_id.set("of the request")
    work = Work(log="/dev/null", units=1)
    jobs = [
        await submit("lab.burn", "/dev/null"),
        await sync_to_async(submit_sync)(burn, work, owner="lab"),
        *await submit_many(burn, [work], owner="lab"),
        await sync_to_async(insert)(burn, work, "lab"),
    ]
    assert [job.request_id for job in jobs] == ["of the request"] * 4


async def test_a_caller_may_choose_the_id_that_a_jobs_log_lines_have(lab: Lab) -> None:
    from labyrinth.lab.jobs import Work, burn

    from offload.jobs import submit_many, submit_sync
    from offload.serving.middleware import request_id

    request_id.set("of the request")
    work = Work(log="/dev/null", units=1)
    jobs = [
        await submit("lab.burn", "/dev/null", request_id="mine"),
        await sync_to_async(submit_sync)(burn, work, owner="lab", request_id="mine"),
        *await submit_many(burn, [work], owner="lab", request_id="mine"),
    ]
    assert [job.request_id for job in jobs] == ["mine"] * 3


@pytest.mark.parametrize("text", [f"{NUL}", f"a{NUL}b", f"\\{NUL}", f"\\u0000{NUL}"])
async def test_a_nul_in_parameters_is_a_422_on_every_database(lab: Lab, text: str) -> None:
    from offload.jobs.errors import ParamsUnfit

    with pytest.raises(ParamsUnfit, match="NUL"):
        await submit("lab.burn", text)


@pytest.mark.parametrize("text", ["\\u0000", "\\\\u0000", "\\", "\u0001", "\U0001f600"])
async def test_other_odd_texts_come_back_as_they_went(lab: Lab, text: str) -> None:
    job = await submit("lab.burn", text)
    await sync_to_async(job.refresh_from_db)()
    assert job.params["log"] == text


def test_a_long_list_is_several_statements_and_accepted_as_a_whole_or_not_at_all(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostgreSQL ends a statement after 8 s, and one of 10,000 rows took longer."""
    from django.db import DatabaseError, connection
    from labyrinth.lab.jobs import Work, burn

    from offload.jobs import client, inserts
    from offload.jobs.models import Job

    statements: list[int] = []

    def refuse_the_third(execute: Any, sql: str, *rest: Any) -> Any:
        if sql.startswith("INSERT INTO"):
            statements.append(1)
            if len(statements) == 3:
                raise DatabaseError("no")
        return execute(sql, *rest)

    def submit_five() -> None:
        params = [Work(log="/dev/null", units=units) for units in range(5)]
        with connection.execute_wrapper(refuse_the_third):
            async_to_sync(client.submit_many)(burn, params, owner="lab")

    monkeypatch.setattr(inserts, "INSERT_BATCH_ROWS", 2)
    with pytest.raises(DatabaseError):
        submit_five()
    assert Job.objects.count() == 0
    submit_five()
    assert Job.objects.count() == 5
    assert len(statements) == 6


async def test_a_list_that_no_queue_holds_is_refused_for_good(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    from labyrinth.lab.jobs import Work, burn

    from offload.conf import conf
    from offload.jobs import admission, submit_many
    from offload.problems import Problem

    monkeypatch.setattr(admission, "conf", lambda: dataclasses.replace(conf(), queue_depth=2))
    params = [Work(log="/dev/null", units=units) for units in range(3)]
    assert len(await submit_many(burn, params[:2], owner="lab")) == 2
    with pytest.raises(Problem, match="3 jobs at once, of which a queue holds 2") as refused:
        await submit_many(burn, params, owner="lab")
    # Nobody need try again.
    assert (refused.value.status, refused.value.headers) == (422, {})


async def test_a_list_is_made_beside_the_event_loop_and_has_the_id_of_its_request(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    from labyrinth.lab.jobs import Work, burn

    from offload.jobs import submit_many
    from offload.jobs.models import Job
    from offload.serving.middleware import request_id

    new, threads = Job.new, []

    def watched(*arguments: Any, **values: Any) -> Any:
        threads.append(threading.get_ident())
        return new(*arguments, **values)

    monkeypatch.setattr(Job, "new", watched)
    request_id.set("of the request")
    params = [Work(log="/dev/null", units=units) for units in range(3)]
    jobs = await submit_many(burn, params, owner="lab")
    assert [job.request_id for job in jobs] == ["of the request"] * 3
    assert len(threads) == 3
    assert threading.get_ident() not in threads


@pytest.mark.parametrize("owner", ["x" * 151, "a\0b"])
def test_an_owner_that_no_column_takes_is_an_error_on_every_database(lab: Lab, owner: str) -> None:
    with pytest.raises(ValueError, match="an owner has at most 150 characters, and no NUL"):
        lab.submit("lab.burn", owner=owner)


def test_a_visitor_who_has_not_logged_in_owns_no_job(lab: Lab) -> None:
    """Nobody would see it, and all visitors would share it."""
    from django.contrib.auth.models import AnonymousUser

    with pytest.raises(ValueError, match=r"this name is empty: .* needs @login_required"):
        lab.submit("lab.burn", owner=AnonymousUser().get_username())


def test_half_a_character_is_a_422_too(lab: Lab) -> None:
    from labyrinth.lab.jobs import Work, burn

    from offload.jobs import submit_sync
    from offload.jobs.errors import ParamsUnfit

    # A model that checks its texts refuses it itself.
    unchecked = Work.model_construct(log="\ud800", units=1, weight=1.0)
    with pytest.raises(ParamsUnfit, match="half a character"):
        submit_sync(burn, unchecked, owner="lab")


def test_a_nul_in_a_result_is_refused_in_a_sentence(lab: Lab) -> None:
    from labyrinth.lab.jobs import Text, letters

    from offload.jobs import JobError

    with pytest.raises(JobError, match="NUL"):
        letters.result_to_json(Text(text=NUL))


def test_sizes_are_bytes_and_not_characters(lab: Lab) -> None:
    from labyrinth.lab.jobs import Text, letters

    from offload.conf import conf
    from offload.jobs.errors import ParamsTooLarge

    # Three bytes each.
    with pytest.raises(ParamsTooLarge):
        lab.submit("lab.burn", log="€" * (conf().params_limit // 3 + 1))
    job = claimed(lab.submit("lab.letters", units=1).pk)
    document = letters.result_to_json(Text(text="€" * (conf().result_limit // 3 + 1)))
    inline, file = job.store_result(document)
    assert inline is None
    assert file


async def test_a_unique_job_is_accepted_while_its_twins_end_and_begin(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    from offload.jobs import inserts
    from offload.jobs.declare import find_job_type
    from offload.jobs.models import Job

    unique = find_job_type("lab.unique")
    first = await submit("lab.unique", "/dev/null")
    existing, save, saved = inserts._existing, Job.save, []

    def first_ends(*found: Any) -> Any:
        if not saved[1:]:
            end(first)
        return existing(*found)

    def another_is_faster(job: Any, **values: Any) -> None:
        saved.append(job)
        if len(saved) == 2:
            params = unique.params(log="/dev/null", units=1)
            save(Job.new(unique, params, "lab"), force_insert=True)
        save(job, **values)

    monkeypatch.setattr(inserts, "_existing", first_ends)
    monkeypatch.setattr(Job, "save", another_is_faster)
    second = await submit("lab.unique", "/dev/null")
    assert second.pk != first.pk
    assert await Job.objects.filter(unique_key=second.unique_key, status="queued").acount() == 1


async def test_a_list_of_a_unique_type_gives_the_unfinished_jobs_back(lab: Lab) -> None:
    from offload.jobs import submit_many
    from offload.jobs.declare import find_job_type
    from offload.jobs.models import Job

    unique = find_job_type("lab.unique")
    params = [unique.params(log="/dev/null", units=units) for units in (1, 2, 3, 2)]
    first = await submit("lab.unique", "/dev/null")
    jobs = await submit_many(unique, params, owner="lab")
    assert [job.params["units"] for job in jobs] == [1, 2, 3, 2]
    assert jobs[0].pk == first.pk
    assert jobs[1].pk == jobs[3].pk
    assert await Job.objects.acount() == 3

    await sync_to_async(end)(jobs[2])
    again = await submit_many(unique, params, owner="lab")
    assert [a.pk == b.pk for a, b in zip(jobs, again, strict=True)] == [True, True, False, True]


def test_lists_of_a_unique_type_in_two_orders_never_deadlock(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    from offload.jobs import inserts, submit_many
    from offload.jobs.declare import find_job_type
    from offload.jobs.models import Job

    unique = find_job_type("lab.unique")
    params = [unique.params(log="/dev/null", units=units) for units in range(200)]
    monkeypatch.setattr(inserts, "INSERT_BATCH_ROWS", 2)

    def submit_in(order: Any) -> Any:
        return async_to_sync(submit_many)(unique, order, owner="lab")

    results = at_once(partial(submit_in, params), partial(submit_in, params[::-1]))
    assert errors(results) == []
    there, back = results
    assert [job.pk for job in there] == [job.pk for job in reversed(back)]
    assert Job.objects.count() == len(params)


@pytest.mark.parametrize("key", ["one", "many"])
def test_a_unique_job_is_found_by_an_index(lab: Lab, key: str) -> None:
    """Beside a million finished rows a repeated submit read the whole table."""
    from django.db import connection

    from offload.jobs.row_states import unfinished_with

    keys = {"one": ["a"], "many": ["a", "b", "c"]}[key]
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            # A small table is read as a whole where that is allowed.
            cursor.execute("SET enable_seqscan = off")
        plan = unfinished_with(keys).only("pk").explain()
        if connection.vendor == "postgresql":
            cursor.execute("RESET enable_seqscan")
    assert "offload_job_unique" in plan

"""Tasks of queues other than Celery: published in a transaction, and on the event loop."""

from pathlib import Path

import pytest
from twins import Twins, check, numbers

HUEY = """
from django.db import transaction
from huey.contrib.djhuey import db_task, on_commit_task, periodic_task, task

@db_task()
def report(pk):
    return Order.objects.filter(pk=pk).count()

@on_commit_task()
def report_later(pk):
    return Order.objects.filter(pk=pk).count()
"""
OWN_HUEY = """
from django.db import transaction
from huey import RedisHuey

huey = RedisHuey("shop")

@huey.task(retries=2)
def report(pk):
    return Order.objects.filter(pk=pk).count()
"""
DRAMATIQ = """
import dramatiq
from django.db import transaction

@dramatiq.actor(max_retries=3)
def report(pk):
    return Order.objects.filter(pk=pk).count()
"""
RQ = """
from django.db import transaction
from rq.decorators import job

@job("default", connection=None)
def report(pk):
    return Order.objects.filter(pk=pk).count()
"""


def in_transaction(line: str) -> str:
    return f"""
def view(request):
    with transaction.atomic():
        order = Order.objects.create()
        {line}
"""


CASES = {
    "huey": Twins(
        "OFF306",
        "error",
        HUEY + in_transaction("report(order.pk)"),
        HUEY + in_transaction("transaction.on_commit(functools.partial(report, order.pk))"),
    ),
    "huey_that_waits_for_the_commit": Twins(
        "OFF306",
        "error",
        HUEY + in_transaction("report.schedule((order.pk,), delay=0)"),
        HUEY + in_transaction("report_later(order.pk)"),
    ),
    "the_plain_function_of_huey": Twins(
        "OFF306",
        "error",
        OWN_HUEY + in_transaction("report(order.pk)"),
        OWN_HUEY + in_transaction("report.call_local(order.pk)"),
    ),
    "dramatiq": Twins(
        "OFF306",
        "error",
        DRAMATIQ + in_transaction("report.send(order.pk)"),
        DRAMATIQ + in_transaction("report(order.pk)"),
    ),
    "rq": Twins(
        "OFF306",
        "error",
        RQ + in_transaction("report.delay(order.pk)"),
        RQ + in_transaction("transaction.on_commit(lambda: report.delay(order.pk))"),
    ),
    "dramatiq_on_the_loop": Twins(
        "OFF301",
        "error",
        DRAMATIQ + "async def view(request):\n    report.send_with_options(args=(1,), delay=9)\n",
        DRAMATIQ + "async def view(request):\n    await sync_to_async(report.send)(1)\n",
    ),
    "huey_on_the_loop": Twins(
        "OFF301",
        "error",
        OWN_HUEY + "async def view(request):\n    report(1)\n",
        OWN_HUEY + "async def view(request):\n    await sync_to_async(report)(1)\n",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_tasks_of_other_queues_are_published(tmp_path: Path, name: str) -> None:
    check(CASES[name], tmp_path)


def test_a_call_that_publishes_does_not_run_the_task(tmp_path: Path) -> None:
    said = numbers(tmp_path, OWN_HUEY + "async def view(request):\n    report(1)\n")
    assert "OFF303" not in {rule for rule, _ in said}

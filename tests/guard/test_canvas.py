"""Celery's messages: signatures, groups and chains, and the results that somebody waits for."""

from pathlib import Path

import pytest
from twins import Twins, check, numbers

HEAD = """
import time

from celery import chain, chord, current_app, group, shared_task
from celery.result import AsyncResult, GroupResult
from django.db import transaction
from django.http import HttpResponse

@shared_task(time_limit=60)
def part(pk):
    return Order.objects.filter(pk=pk).exists()

"""
WORKER = HEAD + "@shared_task(time_limit=60)\ndef whole(pks):\n"
VIEW = HEAD + "def view(request):\n"
ASYNC_VIEW = HEAD + "async def view(request, pk):\n"
CREATES = VIEW + "    with transaction.atomic():\n        order = Order.objects.create()\n"
CASES = {
    "results_of_a_list": Twins(
        "OFF305",
        "error",
        WORKER + "    results = [part.delay(pk) for pk in pks]\n"
        "    return [each.get() for each in results]\n",
        WORKER + "    chord([part.s(pk) for pk in pks])(part.s())\n",
    ),
    "results_that_a_loop_appends": Twins(
        "OFF305",
        "error",
        WORKER + "    results = []\n    for pk in pks:\n        results.append(part.delay(pk))\n"
        "    for each in results:\n        each.get()\n",
        WORKER + "    results = []\n    for pk in pks:\n        results.append({'pk': pk})\n"
        "    for each in results:\n        each.get('pk')\n",
    ),
    "result_of_a_helper": Twins(
        "OFF305",
        "warning",
        HEAD + "def wait_for(pk):\n    return part.delay(pk).get(timeout=9)\n\n"
        "@shared_task(time_limit=60)\ndef whole(pk):\n    return wait_for(pk)\n",
        HEAD + "def start(pk):\n    return part.delay(pk).id\n\n"
        "@shared_task(time_limit=60)\ndef whole(pk):\n    return start(pk)\n",
    ),
    "result_of_a_called_group": Twins(
        "OFF305",
        "error",
        WORKER + "    result = group(part.s(pk) for pk in pks)()\n    return result.join()\n",
        WORKER + "    group(part.s(pk) for pk in pks)()\n",
    ),
    "result_of_a_chain": Twins(
        "OFF305",
        "error",
        WORKER + "    return chain(part.s(pks[0]), part.s())().get()\n",
        WORKER + "    return chain(part.s(pks[0]), part.s()).get('task')\n",
    ),
    "loop_until_a_task_is_ready": Twins(
        "OFF305",
        "error",
        WORKER + "    result = AsyncResult(pks[0])\n    while not result.ready():\n"
        "        time.sleep(1)\n",
        WORKER + "    result = AsyncResult(pks[0])\n    while not result.ready():\n"
        "        return None\n",
    ),
    "view_that_asks_until_a_task_is_ready": Twins(
        "OFF405",
        "warning",
        VIEW + "    result = part.delay(1)\n    while not result.ready():\n"
        "        time.sleep(1)\n    return HttpResponse()\n",
        VIEW + "    result = part.delay(1)\n    while not result.ready():\n"
        "        if result.failed():\n            break\n    return HttpResponse()\n",
    ),
    "revoke_on_the_loop": Twins(
        "OFF103",
        "error",
        ASYNC_VIEW + "    current_app.control.revoke(pk, terminate=True)\n",
        ASYNC_VIEW + "    await sync_to_async(current_app.control.revoke)(pk)\n",
    ),
    "workers_asked_on_the_loop": Twins(
        "OFF103",
        "error",
        ASYNC_VIEW + "    return current_app.control.inspect().active()\n",
        ASYNC_VIEW + "    return current_app.control.inspect()\n",
    ),
    "result_by_its_task": Twins(
        "OFF302",
        "error",
        ASYNC_VIEW + "    return part.AsyncResult(pk).state\n",
        ASYNC_VIEW + "    return part.AsyncResult(pk).id\n",
    ),
    "stored_group": Twins(
        "OFF302",
        "error",
        ASYNC_VIEW + "    return GroupResult.restore(pk)\n",
        ASYNC_VIEW + "    return await sync_to_async(GroupResult.restore)(pk)\n",
    ),
    "group_in_a_variable": Twins(
        "OFF301",
        "error",
        ASYNC_VIEW + "    job = group(part.s(1), part.s(2))\n    job()\n",
        ASYNC_VIEW + "    job = group(part.s(1), part.s(2))\n    await sync_to_async(job)()\n",
    ),
    "signature_before_the_commit": Twins(
        "OFF306",
        "error",
        CREATES + "        part.s(order.pk).apply_async()\n",
        CREATES + "    part.s(order.pk).apply_async()\n",
    ),
    "chain_before_the_commit": Twins(
        "OFF306",
        "error",
        CREATES + "        chain(part.si(order.pk), part.si(1)).delay()\n",
        CREATES + "        work = chain(part.si(order.pk), part.si(1))\n"
        "        transaction.on_commit(work.delay)\n",
    ),
    "queryset_in_a_message": Twins(
        "OFF307",
        "error",
        VIEW + "    part.delay(Order.objects.filter(paid=True))\n",
        VIEW + "    part.delay(list(Order.objects.values_list('pk', flat=True)))\n",
    ),
    "request_in_a_message": Twins(
        "OFF307",
        "error",
        VIEW + "    part.delay(request)\n",
        VIEW + "    part.delay(request.path)\n",
    ),
    "user_in_a_message": Twins(
        "OFF307",
        "error",
        VIEW + "    part.delay(request.user)\n",
        VIEW + "    part.delay(request.user.pk)\n",
    ),
    "file_in_a_message": Twins(
        "OFF307",
        "error",
        VIEW + "    part.delay(request.FILES['file'])\n",
        VIEW + "    part.delay(request.FILES['file'].name)\n",
    ),
    "set_in_a_message": Twins(
        "OFF307",
        "error",
        VIEW + "    part.delay({1, 2})\n",
        VIEW + "    part.delay([1, 2])\n",
    ),
    "row_in_a_signature": Twins(
        "OFF307",
        "error",
        VIEW + "    order = Order.objects.get(pk=1)\n    chain(part.s(order), part.s()).delay()\n",
        VIEW + "    order = Order.objects.get(pk=1)\n"
        "    chain(part.s(order.pk), part.s()).delay()\n",
    ),
    "row_as_a_result": Twins(
        "OFF307",
        "warning",
        HEAD + "@shared_task(time_limit=60)\ndef load(pk):\n    return Order.objects.get(pk=pk)\n",
        HEAD + "@shared_task(time_limit=60, ignore_result=True)\ndef load(pk):\n"
        "    return Order.objects.get(pk=pk)\n",
    ),
    "async_run_of_a_class": Twins(
        "OFF504",
        "error",
        HEAD + "from celery import Task\n\nclass Build(Task):\n    async def run(self, pk):\n"
        "        await asyncio.sleep(1)\n",
        HEAD + "from celery import Task\n\nclass Build(Task):\n    def run(self, pk):\n"
        "        return asyncio.run(asyncio.sleep(1))\n",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_what_a_message_does_is_found(tmp_path: Path, name: str) -> None:
    check(CASES[name], tmp_path)


@pytest.mark.parametrize(
    ("app", "severities"),
    [
        ('Celery("shop", backend="redis://a")', {"error"}),
        ('Celery("shop", broker="redis://a")', {"warning"}),
        ('Celery("shop", backend="redis://a")\napp.conf.task_ignore_result = True', set()),
    ],
)
def test_a_row_as_a_result_is_wrong_where_results_are_kept(
    tmp_path: Path, app: str, severities: set[str]
) -> None:
    code = CASES["row_as_a_result"].wrong
    found = numbers(tmp_path, code, celery=f"from celery import Celery\n\napp = {app}\n")
    assert {severity for rule, severity in found if rule == "OFF307"} == severities


def test_a_canvas_by_another_name_is_not_published(tmp_path: Path) -> None:
    code = ASYNC_VIEW + "    return together(part.s(pk))\n"
    code = code.replace("from celery import chain", "from celery import group as together, chain")
    assert "OFF301" not in {rule for rule, _ in numbers(tmp_path, code)}

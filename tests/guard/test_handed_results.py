"""Brackets at the wrong place: a result where a function is wanted, and the other way round."""

from pathlib import Path

import pytest
from twins import Twins, check

HEAD = """
from asgiref.sync import async_to_sync
from celery import shared_task
from channels.layers import get_channel_layer
from django.db import transaction

async def send(pk):
    await asyncio.sleep(pk)

@shared_task
def report(pk):
    return Order.objects.filter(pk=pk).count()

class Bus:
    async def tell(self, pk):
        await asyncio.sleep(pk)

"""
CASES = {
    "layer": Twins(
        "OFF504",
        "error",
        'def tell():\n    async_to_sync(get_channel_layer().group_send("a", {}))\n',
        'def tell():\n    async_to_sync(get_channel_layer().group_send)("a", {})\n',
    ),
    "function": Twins(
        "OFF504",
        "error",
        "def tell():\n    async_to_sync(send(1))\n",
        "def tell():\n    async_to_sync(send)(1)\n",
    ),
    "method": Twins(
        "OFF504",
        "error",
        "def tell():\n    return async_to_sync(Bus().tell(1))()\n",
        "def tell():\n    return async_to_sync(Bus().tell)(1)\n",
    ),
    "what_makes_the_function": Twins(
        "OFF504",
        "error",
        "def tell():\n    async_to_sync(send(1))\n",
        "def chosen():\n    return send\n\ndef tell():\n    async_to_sync(chosen())(1)\n",
    ),
    "run": Twins(
        "OFF504",
        "error",
        "def tell():\n    asyncio.run(send)\n",
        "def tell():\n    asyncio.run(send(1))\n",
    ),
    "task": Twins(
        "OFF504",
        "error",
        "async def view(request):\n    await asyncio.create_task(Bus().tell)\n",
        "async def view(request):\n    await asyncio.create_task(Bus().tell(1))\n",
    ),
    "wait_for": Twins(
        "OFF504",
        "error",
        "async def view(request):\n    await asyncio.wait_for(send, 5)\n",
        "async def view(request):\n    await asyncio.wait_for(send(1), 5)\n",
    ),
    "function_for_anyio": Twins(
        "OFF504",
        "error",
        "def tell():\n    asyncio.run(send)\n",
        "import anyio\n\ndef tell():\n    anyio.run(send, 1)\n",
    ),
    "decorated": Twins(
        "OFF504",
        "error",
        "def tell():\n    asyncio.run(send)\n",
        "@other\nasync def made():\n    return 1\n\ndef tell():\n    asyncio.run(made)\n",
    ),
    "after_the_commit": Twins(
        "OFF306",
        "error",
        "def view(request):\n    transaction.on_commit(report.delay(1))\n",
        "def view(request):\n    transaction.on_commit(lambda: report.delay(1))\n",
    ),
    "after_the_commit_with_options": Twins(
        "OFF306",
        "error",
        "def view(request):\n    transaction.on_commit(report.apply_async([1], countdown=9))\n",
        "def view(request):\n    transaction.on_commit(report.si(1).delay)\n",
    ),
    "partial_after_the_commit": Twins(
        "OFF306",
        "error",
        "def view(request):\n    transaction.on_commit(report.delay(1), using='other')\n",
        "def view(request):\n    transaction.on_commit(functools.partial(report.delay, 1))\n",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_function_and_its_result_are_told_apart(tmp_path: Path, name: str) -> None:
    twins = CASES[name]
    check(twins._replace(wrong=HEAD + twins.wrong, right=HEAD + twins.right), tmp_path)

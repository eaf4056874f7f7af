"""Coroutines, futures and lists of them, wherever they go; and clients by their base class."""

from pathlib import Path

import pytest
from twins import Twins, check

HEAD = """
import json
import multiprocessing
import queue
import subprocess
from concurrent.futures import ThreadPoolExecutor

import asyncpg
import httpx
from asgiref.sync import async_to_sync
from django.db import transaction
from django.http import HttpResponse, JsonResponse

pool = ThreadPoolExecutor(4)

def load(pk):
    return pk

async def total():
    await asyncio.sleep(1)
    return 1

async def rows():
    yield 1

"""
VIEW = HEAD + "async def view(request):\n"
SYNC_VIEW = HEAD + "def view(request):\n"
API = HEAD + "class Api(requests.Session):\n    def load(self):\n"
CASES = {
    "coroutine_in_a_response": Twins(
        "OFF504",
        "error",
        VIEW + "    return JsonResponse({'total': total(), 'count': 1})\n",
        VIEW + "    return JsonResponse({'total': await total(), 'count': 1})\n",
    ),
    "coroutine_in_a_column": Twins(
        "OFF504",
        "error",
        VIEW + "    order = await Order.objects.aget(pk=1)\n    order.total = total()\n",
        VIEW + "    order = await Order.objects.aget(pk=1)\n    order._task = total()\n",
    ),
    "coroutine_in_a_new_row": Twins(
        "OFF504",
        "error",
        VIEW + "    await Order.objects.acreate(total=total())\n",
        VIEW + "    await Order.objects.acreate(total=await total())\n",
    ),
    "async_function_after_the_commit": Twins(
        "OFF504",
        "error",
        SYNC_VIEW + "    transaction.on_commit(lambda: total())\n",
        SYNC_VIEW + "    transaction.on_commit(lambda: async_to_sync(total)())\n",
    ),
    "bridge_of_a_coroutine": Twins(
        "OFF504",
        "error",
        SYNC_VIEW + "    async_to_sync(total())\n",
        SYNC_VIEW + "    async_to_sync(total)()\n",
    ),
    "async_function_that_sorts": Twins(
        "OFF504",
        "error",
        VIEW + "    return sorted([2, 1], key=total)\n",
        VIEW + "    return sorted([2, 1], key=load)\n",
    ),
    "async_function_in_an_executor": Twins(
        "OFF504",
        "error",
        VIEW + "    await asyncio.get_running_loop().run_in_executor(None, total)\n",
        VIEW + "    await asyncio.get_running_loop().run_in_executor(None, load, total)\n",
    ),
    "async_generator_in_a_plain_loop": Twins(
        "OFF504",
        "error",
        VIEW + "    for row in rows():\n        print(row)\n",
        VIEW + "    async for row in rows():\n        print(row)\n",
    ),
    "task_of_a_function": Twins(
        "OFF504",
        "error",
        VIEW + "    await asyncio.wait_for(total, 5)\n",
        VIEW + "    await asyncio.wait_for(total(), 5)\n",
    ),
    "query_without_await": Twins(
        "OFF504",
        "error",
        VIEW + "    connection = await asyncpg.connect('x')\n    connection.execute('delete')\n",
        VIEW + "    connection = await asyncpg.connect('x')\n"
        "    await connection.execute('delete')\n",
    ),
    "writer_of_a_connection": Twins(
        "OFF504",
        "error",
        VIEW + "    reader, writer = await asyncio.open_connection('x', 1)\n    writer.drain()\n",
        VIEW + "    reader, writer = await asyncio.open_connection('x', 1)\n"
        "    writer.close()\n    await writer.drain()\n",
    ),
    "pipe_of_processes": Twins(
        "OFF105",
        "error",
        VIEW + "    here, there = multiprocessing.Pipe()\n    return here.recv()\n",
        VIEW + "    here, there = multiprocessing.Pipe()\n"
        "    return await asyncio.to_thread(here.recv)\n",
    ),
    "pause_between_two_attempts": Twins(
        "OFF103",
        "warning",
        HEAD + "import tenacity\n\n@tenacity.retry(wait=tenacity.wait_fixed(2))\n"
        "def parse(text):\n    return int(text)\n\n"
        "async def view(request):\n    return parse('1')\n",
        HEAD + "import tenacity\n\n@tenacity.retry(wait=tenacity.wait_fixed(2))\n"
        "async def parse(text):\n    return int(text)\n\n"
        "async def view(request):\n    return await parse('1')\n",
    ),
    "client_of_an_object_for_one_request": Twins(
        "OFF403",
        "warning",
        HEAD + "class Prices:\n    def __init__(self):\n"
        "        self.client = httpx.AsyncClient(timeout=5)\n\n"
        "async def view(request):\n    prices = Prices()\n"
        "    return await prices.client.get('https://x.test')\n",
        HEAD + "class Prices:\n    def __init__(self):\n"
        "        self.client = httpx.AsyncClient(timeout=5)\n\n"
        "prices = Prices()\n\nasync def view(request):\n"
        "    return await prices.client.get('https://x.test')\n",
    ),
    "futures_of_a_list": Twins(
        "OFF105",
        "error",
        VIEW + "    futures = [pool.submit(load, pk) for pk in (1, 2)]\n"
        "    return [each.result() for each in futures]\n",
        VIEW + "    loop = asyncio.get_running_loop()\n"
        "    futures = [loop.run_in_executor(pool, load, pk) for pk in (1, 2)]\n"
        "    return [await each for each in futures]\n",
    ),
    "queue_of_processes": Twins(
        "OFF105",
        "error",
        HEAD + "results = multiprocessing.Queue()\n\nasync def view(request):\n"
        "    return results.get()\n",
        HEAD + "results = queue.Queue()\n\nasync def view(request):\n"
        "    return results.get(block=False)\n",
    ),
    "lock_of_processes": Twins(
        "OFF105",
        "error",
        HEAD + "lock = multiprocessing.Lock()\n\nasync def view(request):\n"
        "    with lock:\n        await total()\n",
        HEAD + "lock = multiprocessing.Lock()\n\nasync def view(request):\n"
        "    with lock:\n        load(1)\n",
    ),
    "cached_coroutine": Twins(
        "OFF107",
        "warning",
        HEAD + "class Basket:\n    @functools.cached_property\n    async def total(self):\n"
        "        return 1\n",
        HEAD + "class Basket:\n    @property\n    async def total(self):\n        return 1\n",
    ),
    "uploaded_document": Twins(
        "OFF205",
        "warning",
        VIEW + "    return json.load(request.FILES['file'])\n",
        VIEW + "    return json.load(request.headers)\n",
    ),
    "group_of_any_size": Twins(
        "OFF401",
        "warning",
        VIEW + "    async with asyncio.TaskGroup() as group:\n"
        "        for name in request.GET.getlist('name'):\n"
        "            group.create_task(total())\n",
        VIEW + "    async with asyncio.TaskGroup() as group:\n"
        "        for name in request.GET.getlist('name')[:9]:\n"
        "            group.create_task(total())\n",
    ),
    "group_with_a_limit": Twins(
        "OFF401",
        "warning",
        VIEW + "    async with asyncio.TaskGroup() as group:\n"
        "        [group.create_task(total()) for name in request.GET.getlist('name')]\n",
        VIEW.replace("await asyncio.sleep(1)", "async with slots:\n        await asyncio.sleep(1)")
        + "    async with asyncio.TaskGroup() as group:\n"
        "        [group.create_task(total()) for name in request.GET.getlist('name')]\n",
    ),
    "wait_for_any_number": Twins(
        "OFF401",
        "warning",
        VIEW + "    calls = [total() async for order in Order.objects.all()]\n"
        "    for each in asyncio.as_completed(calls):\n        await each\n",
        VIEW + "    for each in asyncio.as_completed([total() for name in ('a', 'b')]):\n"
        "        await each\n",
    ),
    "connection_for_one_request": Twins(
        "OFF403",
        "error",
        VIEW + "    connection = await asyncpg.connect('x')\n"
        "    return await connection.fetch('select')\n",
        HEAD + "class Base:\n    async def open(self):\n"
        "        self.pool = await asyncpg.create_pool('x')\n",
    ),
    "redis_for_one_request": Twins(
        "OFF403",
        "error",
        HEAD + "from redis import asyncio as aredis\n\nasync def view(request):\n"
        "    return await aredis.from_url('redis://x', socket_timeout=5).incr('count')\n",
        HEAD + "from redis import asyncio as aredis\n\nasync def view(request):\n"
        "    client = aredis.from_url('redis://x', socket_timeout=5)\n"
        "    return client.pubsub()\n\nasync def count(request):\n"
        "    return await aredis.Redis(connection_pool=POOL).incr('count')\n",
    ),
    "timeout_of_none": Twins(
        "OFF405",
        "error",
        HEAD + "client = httpx.Client(timeout=httpx.Timeout(None))\n\n"
        "def view(request):\n    return httpx.get('https://x.test', timeout=httpx.Timeout(None))\n",
        HEAD + "def view(request):\n"
        "    return httpx.get('https://x.test', timeout=httpx.Timeout(5, connect=1))\n",
    ),
    "timeout_of_a_derived_session": Twins(
        "OFF405",
        "warning",
        API + "        return self.get('https://x.test')\n",
        API + "        return self.get('https://x.test', timeout=5)\n",
    ),
    "call_of_a_derived_session": Twins(
        "OFF103",
        "error",
        API + "        return self.get('https://x.test', timeout=5)\n\n"
        "async def view(request):\n    return Api().load()\n",
        API + "        return self.get('https://x.test', timeout=5)\n\n"
        "async def view(request):\n    return await asyncio.to_thread(Api().load)\n",
    ),
    "output_of_a_process": Twins(
        "OFF103",
        "error",
        VIEW + "    with subprocess.Popen(['ls'], stdout=subprocess.PIPE) as process:\n"
        "        return process.stdout.read()\n",
        SYNC_VIEW + "    with subprocess.Popen(['ls'], stdout=subprocess.PIPE) as process:\n"
        "        return process.stdout.read()\n",
    ),
    "query_in_a_thread": Twins(
        "OFF507",
        "warning",
        VIEW + "    return await asyncio.to_thread(Order.objects.count)\n",
        VIEW + "    return await sync_to_async(Order.objects.count)()\n",
    ),
    "query_of_a_lambda_in_a_thread": Twins(
        "OFF507",
        "warning",
        VIEW + "    return await asyncio.to_thread(lambda: Order.objects.filter(paid=1).count())\n",
        VIEW + "    return await asyncio.to_thread(lambda: load(1))\n",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_value_is_followed_to_where_it_is_wrong(tmp_path: Path, name: str) -> None:
    check(CASES[name], tmp_path)

"""`await` of a plain call comes too late: the call has run on the event loop before."""

from pathlib import Path

import pytest
from twins import Twins, check, numbers

HEAD = "from django.core.cache import cache\nfrom django.contrib.auth import authenticate\n\n"
# By name: the rule, its severity on the wrong code, the wrong code, the right code.
KINDS = {
    "query": Twins(
        "OFF101",
        "error",
        "async def view(request, pk):\n    return await Order.objects.get(pk=pk)\n",
        "async def view(request, pk):\n    return await Order.objects.aget(pk=pk)\n",
    ),
    "row": Twins(
        "OFF101",
        "error",
        "async def view(request, pk):\n    order = await Order.objects.aget(pk=pk)\n"
        "    await order.save()\n",
        "async def view(request, pk):\n    order = await Order.objects.aget(pk=pk)\n"
        "    await order.asave()\n",
    ),
    "cache": Twins(
        "OFF103",
        "error",
        HEAD + "async def view(request):\n    return await cache.get('x')\n",
        HEAD + "async def view(request):\n    return await cache.aget('x')\n",
    ),
    "user": Twins(
        "OFF101",
        "error",
        HEAD + "async def view(request):\n    return await authenticate(request)\n",
        HEAD + "async def view(request):\n    return await sync_to_async(authenticate)(request)\n",
    ),
    "library": Twins(
        "OFF103",
        "error",
        "async def view(request):\n    await time.sleep(1)\n",
        "async def view(request):\n    await asyncio.sleep(1)\n",
    ),
    "function_of_the_project": Twins(
        "OFF101",
        "error",
        "def load(pk):\n    return Order.objects.get(pk=pk)\n\n"
        "async def view(request, pk):\n    return await load(pk)\n",
        "def load(pk):\n    return Order.objects.aget(pk=pk)\n\n"
        "async def view(request, pk):\n    return await load(pk)\n",
    ),
}
# What `await` may be right for, although it looks plain.
RIGHT = {
    "decorator_that_is_not_known": """
from tools import in_thread

@in_thread
def load(pk):
    return Order.objects.get(pk=pk)

async def view(request, pk):
    return await load(pk)
""",
    "heir_that_is_async": """
class Loader:
    def load(self, pk):
        return Order.objects.get(pk=pk)

class AsyncLoader(Loader):
    async def load(self, pk):
        return await Order.objects.aget(pk=pk)

async def view(request, loader: Loader, pk):
    return await loader.load(pk)
""",
    "rows_of_another_library": """
from ormar import Model

class Album(Model):
    pass

async def view(request, pk):
    return await Album.objects.get(pk=pk)
""",
    "async_method_of_a_manager": """
from django.db import models

class ItemManager(models.Manager):
    async def get(self, **known):
        return await self.aget(**known)

class Item(models.Model):
    objects = ItemManager()

async def view(request, pk):
    return await Item.objects.get(pk=pk)
""",
}


@pytest.mark.parametrize("name", KINDS)
def test_a_plain_call_that_is_awaited_is_found(tmp_path: Path, name: str) -> None:
    check(KINDS[name], tmp_path)


@pytest.mark.parametrize("name", RIGHT)
def test_nothing_is_said_of_what_may_be_async(tmp_path: Path, name: str) -> None:
    assert not numbers(tmp_path, RIGHT[name])

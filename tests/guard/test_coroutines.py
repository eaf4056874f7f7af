"""Coroutines and tasks that never run, or that nothing refers to: each beside its right twin."""

from pathlib import Path

import pytest
from twins import Twins, check

MEMBER = """
async def is_member(user):
    return await Customer.objects.filter(pk=user.pk).aexists()
"""
CASES = {
    "read_in_a_condition": Twins(
        "OFF504",
        "error",
        MEMBER + "def may(user):\n    if not is_member(user):\n        raise PermissionError\n",
        MEMBER
        + "async def may(user):\n    if not await is_member(user):\n        raise KeyError\n",
    ),
    "read_by_the_function_that_gets_it": Twins(
        "OFF504",
        "error",
        MEMBER
        + """
def limit(member):
    return 9 if member else 3

def budget(user):
    member = is_member(user) if user else False
    return limit(member)
""",
        MEMBER
        + """
async def limit(member):
    return 9 if await member else 3

async def budget(user):
    member = is_member(user)
    return await limit(member)
""",
    ),
    "an_attribute_of_the_result": Twins(
        "OFF504",
        "error",
        "async def load():\n    return {}\n\nasync def view(request):\n    return load().keys()\n",
        "async def load():\n    return {}\n\nasync def view(request):\n"
        "    made = load()\n    made.close()\n",
    ),
    "a_coroutine_that_is_compared_with_none": Twins(
        "OFF504",
        "error",
        "async def load():\n    return 1\n\ndef view(request):\n    return load() == 1\n",
        "async def load():\n    return 1\n\ndef view(request):\n    return load() is not None\n",
    ),
    "wait_for_coroutines": Twins(
        "OFF504",
        "error",
        MEMBER + "async def view(request):\n    await asyncio.wait({is_member(request.user)})\n",
        MEMBER
        + """
async def view(request):
    task = asyncio.create_task(is_member(request.user))
    await asyncio.wait({task})
""",
    ),
    "gather_without_a_star": Twins(
        "OFF504",
        "error",
        "async def f(x):\n    pass\n\nasync def view(request, rows):\n"
        "    made = [f(row) for row in rows]\n    await asyncio.gather(made)\n",
        "async def f(x):\n    pass\n\nasync def view(request, rows):\n"
        "    made = [f(row) for row in rows]\n    await asyncio.gather(*made)\n",
    ),
    "thread_with_an_async_target": Twins(
        "OFF504",
        "error",
        "import threading\n\nasync def send():\n    pass\n\n"
        "def start():\n    threading.Thread(target=send).start()\n",
        "import threading\n\ndef send():\n    pass\n\n"
        "def start():\n    threading.Thread(target=send).start()\n",
    ),
    "command_with_an_async_handle": Twins(
        "OFF504",
        "error",
        "from django.core.management.base import BaseCommand\n\n"
        "class Command(BaseCommand):\n    async def handle(self, **options):\n        pass\n",
        "from django.core.management.base import BaseCommand\n\n"
        "class Command(BaseCommand):\n    def handle(self, **options):\n        pass\n",
    ),
    "async_method_of_a_view_that_its_handler_awaits": Twins(
        "OFF504",
        "error",
        "from django.views.generic import ListView\n\n"
        "class Page(ListView):\n    async def get_queryset(self):\n        return []\n",
        "from django.views.generic import ListView\n\n"
        "class Page(ListView):\n    async def get_queryset(self):\n        return []\n"
        "    async def get(self, request):\n        return await self.get_queryset()\n",
    ),
    "shield_of_a_coroutine": Twins(
        "OFF501",
        "warning",
        MEMBER + "async def view(request):\n    await asyncio.shield(is_member(request))\n",
        MEMBER
        + """
async def view(request):
    task = asyncio.create_task(is_member(request))
    await asyncio.shield(task)
""",
    ),
    "gather_that_nobody_awaits": Twins(
        "OFF501",
        "error",
        MEMBER + "async def view(request):\n    asyncio.gather(is_member(1), is_member(2))\n",
        MEMBER + "async def view(request):\n    await asyncio.gather(is_member(1), is_member(2))\n",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_lost_coroutine_is_found_and_a_kept_one_is_not(tmp_path: Path, name: str) -> None:
    check(CASES[name], tmp_path)

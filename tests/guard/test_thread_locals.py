"""What belongs to a thread or a loop that has gone on: values of requests, clients of getters."""

from pathlib import Path

import pytest
from example_shop import HEAD, findings
from twins import numbers

LOCAL = """
import threading
from contextvars import ContextVar
from asgiref.local import Local

state = threading.local()
safe = Local()
current = ContextVar("tenant", default=None)

def set_tenant(tenant):
    state.tenant = tenant

@contextlib.contextmanager
def tenant_of(tenant):
    before = getattr(state, "tenant", None)
    state.tenant = tenant
    try:
        yield
    finally:
        state.tenant = before

@contextlib.contextmanager
def tenant_by_function(tenant):
    set_tenant(tenant)
    yield
    set_tenant(None)

@contextlib.contextmanager
def tenant_of_context(tenant):
    token = current.set(tenant)
    yield
    current.reset(token)

@contextlib.contextmanager
def tenant_in_safe_local(tenant):
    safe.tenant = tenant
    yield

class Tenant:
    def __init__(self, tenant):
        self.tenant = tenant

    def __enter__(self):
        setattr(state, "tenant", self.tenant)

    def __exit__(self, *error):
        state.tenant = None
"""
BLOCK = """
async def view(request):
    with {manager}:
        await Order.objects.acount()
"""
WRONG = {
    "generator": BLOCK.format(manager="tenant_of(1)"),
    "function": BLOCK.format(manager="tenant_by_function(1)"),
    "class": BLOCK.format(manager="Tenant(1)"),
    "library": "import crum\n" + BLOCK.format(manager="crum.impersonate(None)"),
}
RIGHT = {
    "context_variable": BLOCK.format(manager="tenant_of_context(1)"),
    "local_of_asgiref": BLOCK.format(manager="tenant_in_safe_local(1)"),
    "no_await": "async def view(request):\n    with tenant_of(1):\n        return 1\n",
    "sync_view": "def view(request):\n    with tenant_of(1):\n        Order.objects.count()\n",
}
GETTER = """
import aiohttp
from asgiref.sync import async_to_sync

_session = None

{head} get_session():
    global _session
    if _session is None:
        _session = {made}
    return _session
"""
CLIENT = "aiohttp.ClientSession()"
USED = """
async def load(url):
    session = {call}
    async with session.get(url) as answer:
        return await answer.text()

def view(request):
    return async_to_sync(load)(request.GET["url"])
"""
PER_LOOP = """
import aiohttp
from asgiref.sync import async_to_sync

_session = None

async def get_session():
    global _session
    if _session is None or _session._loop is not asyncio.get_running_loop():
        _session = aiohttp.ClientSession()
    return _session
"""
SHARED = {
    "awaited": GETTER.format(head="async def", made=CLIENT)
    + USED.format(call="await get_session()"),
    "plain": GETTER.format(head="def", made=CLIENT) + USED.format(call="get_session()"),
    "pool": GETTER.format(head="async def", made="await asyncpg.create_pool()").replace(
        "import aiohttp", "import asyncpg"
    )
    + USED.format(call="await get_session()"),
}
OWN = {
    "of_each_loop": PER_LOOP + USED.format(call="await get_session()"),
    "no_client": GETTER.format(head="async def", made='{"a": 1}')
    + USED.format(call="await get_session()"),
    "the_loop_of_the_server": GETTER.format(head="async def", made=CLIENT)
    + "async def view(request):\n    session = await get_session()\n    return session.closed\n",
}


def said(folder: Path, code: str) -> set[str]:
    return {severity for rule, severity in numbers(folder, code) if rule == "OFF506"}


def lines(folder: Path, code: str) -> list[str]:
    """The lines that begin a block, and of which OFF506 is said."""
    texts = (HEAD + code).splitlines()
    found = (
        texts[each.line - 1].strip() for each in findings(folder, code) if each.rule == "OFF506"
    )
    return [each for each in found if each.startswith("with ")]


@pytest.mark.parametrize("name", WRONG)
def test_a_value_of_a_thread_is_not_kept_across_an_await(tmp_path: Path, name: str) -> None:
    assert len(lines(tmp_path, LOCAL + WRONG[name])) == 1


@pytest.mark.parametrize("name", RIGHT)
def test_values_of_a_context_or_without_an_await_are_right(tmp_path: Path, name: str) -> None:
    assert lines(tmp_path, LOCAL + RIGHT[name]) == []


@pytest.mark.parametrize("name", SHARED)
def test_a_getter_gives_each_loop_the_client_of_the_first(tmp_path: Path, name: str) -> None:
    assert said(tmp_path, SHARED[name]) == {"warning"}


@pytest.mark.parametrize("name", OWN)
def test_a_getter_that_knows_its_loop_is_right(tmp_path: Path, name: str) -> None:
    assert said(tmp_path, OWN[name]) == set()

"""Calls that reach a client through facades: abstract classes, tables, containers, factories."""

from pathlib import Path

import pytest
from twins import Twins, check, numbers

ABSTRACT = """
import abc

class Store(abc.ABC):
    @abc.abstractmethod
    def read(self, name): ...

    @staticmethod
    def create() -> "Store":
        return RemoteStore()

class RemoteStore(Store):
    def read(self, name):
        return requests.get(f"https://store.example/{name}", timeout=5)
"""
LOCAL = """
class LocalStore(Store):
    def read(self, name):
        return name
"""
CASES = {
    "abstract_method": Twins(
        "OFF103",
        "error",
        ABSTRACT + "async def view(request):\n    return Store.create().read('a')\n",
        ABSTRACT + "async def view(request):\n"
        "    return await asyncio.to_thread(Store.create().read, 'a')\n",
    ),
    "one_of_two_implementations": Twins(
        "OFF103",
        "warning",
        ABSTRACT + LOCAL + "async def view(request):\n    return Store.create().read('a')\n",
        ABSTRACT + LOCAL + "async def view(request):\n    return LocalStore().read('a')\n",
    ),
    "table_of_functions": Twins(
        "OFF103",
        "error",
        "def wait():\n    time.sleep(1)\n\nWAYS = {'wait': wait}\n\n"
        "async def view(request, way):\n    WAYS[way]()\n",
        "def wait():\n    return 1\n\nWAYS = {'wait': wait}\n\n"
        "async def view(request, way):\n    WAYS[way]()\n",
    ),
    "client_in_a_dictionary": Twins(
        "OFF103",
        "error",
        """
class Pool:
    def __init__(self):
        self.sessions = {}

    def open(self, host):
        self.sessions[host] = requests.Session()

    async def get(self, host):
        return self.sessions[host].get(host)
""",
        """
import httpx

class Pool:
    def __init__(self):
        self.clients = {}

    def open(self, host):
        self.clients[host] = httpx.AsyncClient()

    async def get(self, host):
        return await self.clients[host].get(host)
""",
    ),
    "typed_items": Twins(
        "OFF103",
        "error",
        "async def view(request, sessions: list[requests.Session]):\n"
        "    for session in sessions:\n        session.get('https://a.example')\n",
        "async def view(request, sessions: list[requests.Session]):\n"
        "    for session in sessions:\n"
        "        await asyncio.to_thread(session.get, 'https://a.example')\n",
    ),
    "object_of_an_object": Twins(
        "OFF103",
        "error",
        """
from gitlab import Gitlab

class Forge:
    @functools.cached_property
    def api(self) -> Gitlab:
        return Gitlab("https://forge.example", timeout=10)

    async def open(self):
        return self.api.projects.get(1, lazy=True).mergerequests.create({})
""",
        """
from gitlab import Gitlab

class Forge:
    @functools.cached_property
    def api(self) -> Gitlab:
        return Gitlab("https://forge.example", timeout=10)

    async def open(self):
        return self.api.projects.get(1, lazy=True)
""",
    ),
    "pool_that_is_shut_down": Twins(
        "OFF105",
        "error",
        """
from concurrent.futures import ThreadPoolExecutor

class Threads:
    pools = {}

    async def __aenter__(self):
        self.pools[self] = ThreadPoolExecutor()

    async def __aexit__(self, *error):
        self.pools.pop(self).shutdown()
""",
        """
from concurrent.futures import ThreadPoolExecutor

class Threads:
    pools = {}

    async def __aenter__(self):
        self.pools[self] = ThreadPoolExecutor()

    async def __aexit__(self, *error):
        self.pools.pop(self).shutdown(wait=False)
""",
    ),
    "hasher_behind_a_service": Twins(
        "OFF201",
        "error",
        """
from django.contrib.auth.hashers import PBKDF2PasswordHasher

class Passwords:
    def __init__(self):
        self.hasher = PBKDF2PasswordHasher()

    def matches(self, password, encoded):
        return self.hasher.verify(password, encoded)

async def login(request, passwords: Passwords):
    return passwords.matches("a", "b")
""",
        """
from django.contrib.auth.hashers import PBKDF2PasswordHasher

class Passwords:
    def __init__(self):
        self.hasher = PBKDF2PasswordHasher()

    def matches(self, password, encoded):
        return self.hasher.verify(password, encoded)

async def login(request, passwords: Passwords):
    return await asyncio.to_thread(passwords.matches, "a", "b")
""",
    ),
    "own_check_of_a_password": Twins(
        "OFF201",
        "error",
        "from django.contrib.auth.hashers import acheck_password\n\n"
        "async def login(request):\n    return await acheck_password('a', 'b')\n",
        "async def acheck_password(raw, encoded):\n"
        "    return await asyncio.to_thread(str.__eq__, raw, encoded)\n\n"
        "async def login(request):\n    return await acheck_password('a', 'b')\n",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_client_is_followed_through_its_facade(tmp_path: Path, name: str) -> None:
    check(CASES[name], tmp_path)


def test_an_attribute_that_a_method_sets_does_not_make_its_object_unknown(tmp_path: Path) -> None:
    code = """
class Client:
    def wait(self):
        time.sleep(1)
        self.waited = True

    async def run(self):
        self.started, self.ended = True, False
        self.wait()
"""
    assert ("OFF103", "error") in numbers(tmp_path, code)

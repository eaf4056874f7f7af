"""What was accused wrongly in public projects: calls that block or compute, and clients.

Each kind stands beside the mistake that it resembles. `docs/public.md` says how often the linter
was right on public projects.
"""

from pathlib import Path

import pytest
from example_shop import findings
from twins import Twins, check, numbers

# By name: the rule, its severity on the wrong code, the wrong code, the right code.
KINDS = {
    "pause_that_is_not_asked_for": Twins(
        "OFF103",
        "warning",
        "import psutil\n\nasync def view(request):\n    return psutil.cpu_percent(1)\n",
        "import psutil\n\nasync def view(request):\n    psutil.cpu_percent()\n"
        "    return psutil.cpu_percent(interval=None)\n",
    ),
    "socket_that_never_waits": Twins(
        "OFF103",
        "error",
        """
import socket

class Wakeup:
    def __init__(self):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)

    def drain(self):
        self.socket.recvfrom(4096)

async def view(request):
    Wakeup().drain()
""",
        """
import socket

class Wakeup:
    def __init__(self):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.setblocking(False)

    def drain(self):
        self.socket.recvfrom(4096)

async def view(request):
    Wakeup().drain()
""",
    ),
    "attribute_of_the_class": Twins(
        "OFF103",
        "error",
        """
class Settings:
    known = None

    def load(self):
        if self.known is None:
            self.known = requests.get("https://x.test", timeout=1)

async def view(request):
    Settings().load()
""",
        """
class Settings:
    known = None

    @classmethod
    def load(cls):
        if cls.known is None:
            cls.known = requests.get("https://x.test", timeout=1)

async def view(request):
    Settings.load()
""",
    ),
    "client_in_a_collection": Twins(
        "OFF403",
        "warning",
        """
import httpx

clients = {}

def connect():
    return httpx.AsyncClient()

async def view(request, key):
    client = connect()
    return await client.get(key)
""",
        """
import httpx

clients = {}

def connect():
    return httpx.AsyncClient()

async def view(request, key):
    client = clients.get(key)
    if not client:
        client = connect()
        clients[key] = client
    return await client.get(key)
""",
    ),
    "client_for_many_calls": Twins(
        "OFF403",
        "error",
        """
import httpx

async def view(request, name):
    async with httpx.AsyncClient() as client:
        return await client.get(name)
""",
        """
import httpx

async def copy(names):
    async with httpx.AsyncClient() as client:
        for name in names:
            await client.get(name)
""",
    ),
    "result_that_a_cache_keeps": Twins(
        "OFF103",
        "error",
        """
@functools.lru_cache
def load(name):
    return requests.get(name, timeout=1)

async def view(request, name):
    return load(name)
""",
        """
@functools.lru_cache
def load():
    return requests.get("https://x.test", timeout=1)

async def view(request):
    return load()
""",
    ),
    "connection_that_the_first_command_opens": Twins(
        "OFF103",
        "error",
        """
from django_redis import get_redis_connection

async def view(request):
    return get_redis_connection("default").get("x")
""",
        """
from django_redis import get_redis_connection

async def view(request):
    return get_redis_connection("default")
""",
    ),
    "template_of_a_prompt": Twins(
        "OFF103",
        "error",
        """
from langchain_openai import ChatOpenAI

async def view(request):
    return ChatOpenAI().invoke("x")
""",
        """
from langchain_core.prompts import PromptTemplate

async def view(request):
    return PromptTemplate.from_template("x").invoke({"x": 1})
""",
    ),
    "short_answer": Twins(
        "OFF201",
        "warning",
        """
import csv

async def view(request):
    return list(csv.reader(request.body.decode().splitlines()))
""",
        """
import csv

async def load(client):
    answer = await client.get("/rows")
    return list(csv.reader(answer.text.splitlines()))

async def view(request):
    return await load(request.client)
""",
    ),
    "small_file": Twins(
        "OFF103",
        "warning",
        """
async def view(request, path):
    with open(path) as file:
        return file.read()
""",
        """
import os

async def view(request, path):
    return os.path.exists(path)
""",
    ),
}


@pytest.mark.parametrize("name", KINDS)
def test_the_mistake_is_found_and_what_resembles_it_is_not(tmp_path: Path, name: str) -> None:
    check(KINDS[name], tmp_path)


@pytest.mark.parametrize(
    ("backend", "count"),
    [("django.core.cache.backends.dummy.DummyCache", 0), ("django_redis.cache.RedisCache", 1)],
)
def test_a_cache_that_keeps_nothing_waits_for_nothing(
    tmp_path: Path, backend: str, count: int
) -> None:
    settings = f"INSTALLED_APPS = []\nCACHES = {{'default': {{'BACKEND': '{backend}'}}}}\n"
    code = "from django.core.cache import cache\n\nasync def view(request):\n    cache.get('a')\n"
    found = findings(tmp_path, code, settings=settings)
    assert [each.rule for each in found].count("OFF103") == count


@pytest.mark.parametrize(("kind", "count"), [("SOCK_DGRAM", 0), ("SOCK_STREAM", 1)])
def test_connect_of_udp_only_keeps_the_address(tmp_path: Path, kind: str, count: int) -> None:
    code = (
        "import socket\n\nasync def view(request):\n"
        f"    found = socket.socket(socket.AF_INET, socket.{kind})\n"
        "    found.connect(('10.0.0.1', 80))\n"
    )
    assert [each.rule for each in findings(tmp_path, code)].count("OFF103") == count


@pytest.mark.parametrize(
    ("settings", "severity"),
    [("", "warning"), ("DEFAULT_FILE_STORAGE = 'storages.backends.s3.S3Storage'\n", "error")],
)
def test_a_file_of_a_row_is_on_a_disk_unless_the_settings_say_more(
    tmp_path: Path, settings: str, severity: str
) -> None:
    code = (
        "from django.db import models\n\nclass Photo(models.Model):\n"
        "    file = models.ImageField()\n\nasync def view(request):\n"
        "    photo = await Photo.objects.aget(pk=1)\n    return photo.file.read()\n"
    )
    assert numbers(tmp_path, code, settings=settings) == {("OFF103", severity)}


@pytest.mark.parametrize(("options", "count"), [("os.WNOHANG", 0), ("0", 1)])
def test_a_look_at_a_process_does_not_wait_for_it(tmp_path: Path, options: str, count: int) -> None:
    code = f"import os\n\nasync def view(request):\n    os.waitpid(9, {options})\n"
    assert [each.rule for each in findings(tmp_path, code)].count("OFF103") == count

"""What a finding says: one sentence for each call, which works where the finding stands."""

import tomllib
from pathlib import Path

import pytest
from nets import SERVICE

from offload_dev.lint.__main__ import main
from offload_dev.lint.grade import grade
from offload_dev.lint.origins.libraries import KEYS
from offload_dev.lint.report.findings import Finding
from offload_dev.lint.source.project import Project

HEAD = """
import asyncio
import json
import subprocess
import time

import boto3
import httpx
import numpy as np
import openai
import redis
import requests
import stripe
from asgiref.sync import async_to_sync
from django.contrib.auth import aauthenticate, authenticate
from django.contrib.auth.models import User
from django.core.cache import cache
from django.http import HttpRequest

async def load():
    return 1

async def view(request: HttpRequest, number: int):
    return """


def graded(root: Path, code: str, name: str = "views", **more: str) -> list[Finding]:
    package = root / "shop"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    for file, text in {name: code, **more}.items():
        (package / f"{file}.py").write_text(text)
    return grade(Project(root))


@pytest.mark.parametrize(
    ("line", "rule", "instead"),
    [
        ("time.sleep(1)", "OFF103", "`await asyncio.sleep(…)`"),
        ("requests.get('x', timeout=1)", "OFF103", "an `Upstream`: `await upstream.get_json(…)`"),
        (
            "requests.put('x', timeout=1)",
            "OFF103",
            'an `Upstream`: `await upstream.request("PUT", …)`',
        ),
        ("subprocess.run(['ls'])", "OFF103", "`await asyncio.create_subprocess_exec(…)`"),
        ("open('x')", "OFF103", "`await asyncio.to_thread(open, …)`"),
        (
            "redis.Redis().get('x')",
            "OFF103",
            "`redis.asyncio.Redis`, opened once for the process; "
            "or `await asyncio.to_thread(redis.Redis().get, …)`",
        ),
        ("cache.set('x', 1)", "OFF103", "`await cache.aset(…)`"),
        ("cache.get_or_set('x', 1)", "OFF103", "`await cache.aget_or_set(…)`"),
        (
            "User.objects.filter(first_name='x', last_name='y', email='z').update(email='x')",
            "OFF101",
            "`await User.objects.filter(first_name='x', last_name='y', email=....aupdate(…)`",
        ),
        ("User.objects.get(pk=1)", "OFF101", "`await User.objects.aget(…)`"),
        (
            "list(User.objects.all())",
            "OFF101",
            "`async for` over `User.objects.all()`, "
            "as in `[row async for row in User.objects.all()]`",
        ),
        ("authenticate(request)", "OFF101", "`await sync_to_async(authenticate)(…)`"),
        (
            "await aauthenticate(request, username='x', password='y')",
            "OFF201",
            "`await sync_to_async(authenticate)(…)`",
        ),
        (
            "User.objects.create_user('x')",
            "OFF101",
            "`await sync_to_async(User.objects.create_user)(…)`",
        ),
        ("request.user.pk", "OFF102", "`await request.auser()`"),
        ("asyncio.run(load())", "OFF106", "`await load()`"),
        ("async_to_sync(load)()", "OFF106", "`await load(…)`"),
        (
            "stripe.Customer.create()",
            "OFF103",
            "`await stripe.Customer.create_async(…)`",
        ),
    ],
)
def test_the_advice_is_about_the_call(tmp_path: Path, line: str, rule: str, instead: str) -> None:
    (found,) = graded(tmp_path, HEAD + line)
    assert (found.rule, found.instead) == (rule, instead)


def test_the_api_knows_its_caller_by_the_token(tmp_path: Path) -> None:
    service = {"upstreams": "from offload.fanout import Upstream\n"}
    all_found = graded(tmp_path, HEAD + "request.user.pk", "api", **service)
    (found,) = (each for each in all_found if each.rule == "OFF102")
    assert found.instead == "`caller(request)`, the owner of the token"


@pytest.mark.parametrize(
    "line",
    [
        "requests.get",
        "redis.Redis().pipeline()",
        "boto3.client",
        "await stripe.Customer.create_async()",
        "await openai.AsyncOpenAI",
        "np.float64(1)",
        "len(request.body) < 9 and json.loads(request.body)",
    ],
)
def test_what_does_not_block_is_not_accused(tmp_path: Path, line: str) -> None:
    assert graded(tmp_path, HEAD + line) == []


def test_what_a_call_has_returned_is_no_call_of_the_library(tmp_path: Path) -> None:
    body = "1\n\nasync def other():\n    row = redis.Redis().get('x')\n    return row.decode()\n"
    assert [found.line for found in graded(tmp_path, HEAD + body)] == [27]


RESULT = """
from celery.result import AsyncResult

async def view(request, task_id):
    found = AsyncResult(task_id)
    return LINE
"""


@pytest.mark.parametrize("line", ["found.state", "found.result", "found.args[0]", "found.get()"])
def test_an_attribute_of_a_result_asks_the_backend(tmp_path: Path, line: str) -> None:
    (found,) = graded(tmp_path, RESULT.replace("LINE", line))
    assert (found.rule, found.severity, found.line) == ("OFF302", "error", 6)


@pytest.mark.parametrize("line", ["found.id", "found.forget"])
def test_what_a_result_knows_itself_asks_nobody(tmp_path: Path, line: str) -> None:
    assert graded(tmp_path, RESULT.replace("LINE", line)) == []


def test_numpy_is_only_likely_to_take_long(tmp_path: Path) -> None:
    (found,) = graded(tmp_path, HEAD + "np.mean([1, number])")
    assert (found.rule, found.severity, found.likely) == (
        "OFF201",
        "warning",
        "short with little data",
    )


@pytest.mark.parametrize(
    ("client", "severity"), [("httpx.AsyncClient", "warning"), ("aiohttp.ClientSession", "error")]
)
def test_a_client_at_module_level_is_certainly_wrong_only_where_it_needs_a_loop(
    tmp_path: Path, client: str, severity: str
) -> None:
    package = client.partition(".")[0]
    (found,) = graded(tmp_path, f"import {package}\n\nclient = {client}()\n")
    assert (found.rule, found.severity) == ("OFF404", severity)


OWN = """
[tool.offload.libraries.acme]
blocks = ["acme.Client.*"]
write = "`await acme.aio.{call}(…)`"
"""
ACME = "import acme\n\nasync def view(request):\n    return acme.Client().load()\n"


def test_a_team_adds_its_own_libraries(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(OWN)
    (found,) = graded(tmp_path, ACME)
    assert (found.rule, found.instead) == ("OFF103", "`await acme.aio.acme.Client().load(…)`")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            "bloks = []",
            "[tool.offload.libraries.acme]: 'bloks' is unknown. Known are async, blocks",
        ),
        ('blocks = "acme.*"', "[tool.offload.libraries.acme]: blocks must be a list of texts"),
        ('http = "yes"', "[tool.offload.libraries.acme]: http must be true or false"),
    ],
)
def test_a_wrong_table_is_refused_with_its_place(
    tmp_path: Path, line: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "views.py").touch()
    (tmp_path / "pyproject.toml").write_text(f"[tool.offload.libraries.acme]\n{line}\n")
    assert main([str(tmp_path)]) == 2
    assert said in capsys.readouterr().err


AT_START = """
import threading
import httpx
from fastapi import FastAPI

app = FastAPI()
worker = None

def work():
    return 1

@app.on_event("startup")
async def start_worker():
    threading.Thread(target=work).start()

async def ensure_worker():
    global worker
    worker = threading.Thread(target=work)
"""


def test_what_starts_with_the_process_is_not_accused(tmp_path: Path) -> None:
    assert graded(tmp_path, AT_START) == []


def test_a_task_that_ends_when_it_is_cancelled_is_right(tmp_path: Path) -> None:
    code = """
import asyncio

async def listen(queue):
    while True:
        try:
            await queue.get()
        except asyncio.CancelledError:
            LAST
"""
    assert graded(tmp_path / "ends", code.replace("LAST", "return")) == []
    (found,) = graded(tmp_path / "goes_on", code.replace("LAST", "pass"))
    assert (found.rule, found.severity) == ("OFF503", "error")


def test_the_table_of_libraries_is_large_and_each_says_something() -> None:
    tables = tomllib.loads(
        (SERVICE / "offload_dev" / "lint" / "origins" / "libraries.toml").read_text()
    )
    assert len(tables) >= 200
    assert {name for name, table in tables.items() if table.keys() - KEYS} == set()
    assert {
        name for name, table in tables.items() if "may_block" in table and not table["likely"]
    } == set()

"""The API's JSON and the access log of a generated service."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from conftest import FAST

SETTINGS = {
    "DEBUG": "0",
    "SECRET_KEY": "only for tests",
    "DJANGO_SETTINGS_MODULE": "config.settings",
}

SETUP = f"""
import django; django.setup()
from dataclasses import replace
from django.conf import settings
settings.OFFLOAD = replace(settings.OFFLOAD, fast={FAST})
"""

RENDERED = """
from django.utils.translation import gettext_lazy
from offload.api import Json
def text(value):
    try:
        return Json().render(None, value, response_status=200).decode()
    except Exception as error:
        return type(error).__name__
"""
VALUES = {
    "gettext_lazy('Yes')": '"Yes"',
    "'\\ud800'": '"\\ud800"',
    "float('nan')": "null",
    "__import__('datetime').datetime(2026, 1, 2, 3, 4, 5, 678901, __import__('datetime').UTC)": (
        '"2026-01-02T03:04:05.678901Z"'
    ),
    "object()": "TypeError",
}

LINES = """
import logging
from django.test import RequestFactory
from offload.serving.middleware import AccessLog
told, plain = [], logging.LogRecord
def traced(*args, **kwargs):
    record = plain(*args, **kwargs)
    record.trace = "t-1"
    return record
class Listener(logging.Handler):
    def emit(self, record):
        told.append(record)
logging.getLogger("offload.access").addHandler(Listener())
middleware = AccessLog(lambda request: None)
for factory in (plain, traced):
    logging.setLogRecordFactory(factory)
    middleware.record(RequestFactory().get("/api/x"), 200, 0.25)
facts = [{"text": each.getMessage(), "known": sorted(vars(each)), "ms": each.ms} for each in told]
result = facts, told[1].trace, logging.Formatter("%(asctime)s %(threadName)s").format(told[0])
"""

AS_ANSWERED = [("/a", 200), ("/b", 200), ("/slow", 499)]
ITERATION = """
import asyncio, logging
import structlog
from django.test import RequestFactory
from offload.serving.middleware import AccessLog, request_id
told = []
class Listener(logging.Handler):
    def emit(self, record):
        bound = structlog.contextvars.get_contextvars()
        told.append((record.path, record.status, record.request_id, bound))
logging.getLogger("offload.access").addHandler(Listener())
class Answer:
    status_code = 200
async def view(request):
    if request.path == "/slow":
        await asyncio.sleep(60)
    return Answer()
async def ask(path):
    structlog.contextvars.bind_contextvars(asked=path)
    request_id.set(f"id-of-{path}")
    await middleware(RequestFactory().get(path))
    return len(told)
async def main():
    slow = asyncio.create_task(ask("/slow"))
    by_then = await asyncio.gather(ask("/a"), ask("/b"))
    slow.cancel()
    await asyncio.wait([slow])
    await asyncio.sleep(0)
    return by_then
middleware = AccessLog(view)
result = asyncio.run(main()), told
"""


def told(service: Path, code: str) -> Any:
    """`result` as this program leaves it."""
    program = f"{SETUP}\n{code}\nimport json; print(json.dumps(result))"
    command, variables = [sys.executable, "-c", program], os.environ | SETTINGS
    return json.loads(
        subprocess.run(command, cwd=service, env=variables, capture_output=True, check=True).stdout
    )


def test_an_answer_is_json_that_pydantic_and_django_agree_on(service: Path) -> None:
    assert told(
        service, f"{RENDERED}\nresult = [{', '.join(f'text({value})' for value in VALUES)}]"
    ) == list(VALUES.values())


def test_a_fault_in_a_body_is_named_as_its_sender_wrote_it(service: Path) -> None:
    faults = {
        "body.rows.0": ("body", "body", "rows", 0),
        "body": ("body",),
        "query.limit": ("query", "limit"),
    }
    places = list(faults.values())
    code = f"from offload.api import _where\nresult = [_where(*parts) for parts in {places}]"
    assert told(service, code) == list(faults)


def test_an_access_line_is_a_whole_record_and_made_by_whoever_adds_to_all_of_them(
    service: Path,
) -> None:
    (sampled, made), trace, formatted = told(service, LINES)
    assert sampled["text"] == made["text"] == "GET /api/x 200"
    assert sampled["ms"] == made["ms"] == 250.0
    assert {*sampled["known"], "trace"} == {*made["known"]}
    assert trace == "t-1"
    assert formatted.endswith("MainThread")


def test_requests_are_logged_at_the_end_of_the_loops_iteration_each_in_its_own_context(
    service: Path,
) -> None:
    by_then, lines = told(service, ITERATION)
    # Without the fast leaf each is logged before it is answered.
    assert by_then == ([0, 0] if FAST else [1, 2])
    assert lines == [
        [path, status, f"id-of-{path}", {"asked": path}] for path, status in AS_ANSWERED
    ]

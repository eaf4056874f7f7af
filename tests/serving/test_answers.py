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

ASKED = """
import json
from django.test import Client
from django.urls import path
from pydantic import BaseModel
from ninja import Router
from offload.api import make_api
import config.urls
class Rows(BaseModel):
    rows: dict[str, int]
api = make_api("test")
api.auth = None
@api.get("/one", auth=None)
async def one(request):
    return {"one": 1}
@api.post("/rows", auth=None)
async def rows(request, body: Rows):
    return {"found": len(body.rows)}
config.urls.urlpatterns[:] = [path("api/", api.urls)]
settings.ALLOWED_HOSTS = ["testserver"]
client = Client()
def ask(method, path, body=b""):
    answer = client.generic(method, path, body, content_type="application/json")
    try:
        found = answer.json()
    except ValueError:
        found = None
    return [answer.status_code, found, answer.headers.get("Allow")]
"""

DOCUMENTED = """
from typing import Annotated
from uuid import UUID
from ninja import Router
from pydantic import BaseModel, StringConstraints
from offload.api import make_api
class Rows(BaseModel):
    rows: dict[Annotated[str, StringConstraints(pattern="^a+$")], int]
class Made(BaseModel):
    id: int
router = Router()
@router.get("/open", auth=None)
def read(request):
    return {}
@router.get("/one/{uuid:key}")
async def read_one(request, key: UUID):
    return {}
@router.get("/any/{key}")
def read_any(request, key: int):
    return {}
@router.post("/rows", response={202: Made, 403: None, 418: Made})
def write(request, body: Rows):
    return 202, {"id": 1}
write.__module__ = read_one.__module__ = "shop.orders.api"
api = make_api("test")
api.add_router("/shop", router)
document = json.loads(json.dumps(api.get_openapi_schema(path_prefix="")))
operations = {
    path.removeprefix("/shop"): operation
    for path, by_method in document["paths"].items() if path.startswith("/shop")
    for operation in by_method.values()
}
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


def test_a_fault_is_named_as_its_sender_wrote_it(service: Path) -> None:
    faults = {
        "body.rows.0": ("body", "body", "rows", 0),
        "body": ("body", "body"),
        "query.limit": ("query", "limit"),
        "query.symbols.0": ("query", "query", "symbols", 0),
        "query.query": ("query", "query"),
    }
    places = list(faults.values())
    code = f"from offload.api import _where\nresult = [_where(*parts) for parts in {places}]"
    assert told(service, code) == list(faults)


def test_a_head_is_answered_wherever_a_get_is(service: Path) -> None:
    code = "[ask('HEAD', '/api/one')[0], ask('HEAD', '/api/rows')[::2], ask('PUT', '/api/one')[2]]"
    assert told(service, f"{ASKED}\nresult = {code}") == [200, [405, "POST"], "GET, HEAD"]


def test_the_faults_of_a_body_are_named_or_only_counted_if_there_are_very_many(
    service: Path,
) -> None:
    code = """
def faults(number):
    body = json.dumps({"rows": {str(each): "" for each in range(number)}}).encode()
    return ask("POST", "/api/rows", body)
few, many = faults(100), faults(50_000)
result = [few[0], len(few[1]["errors"]), many[0], many[1]["detail"]]
"""
    status, named, many, detail = told(service, ASKED + code)
    assert (status, named, many) == (422, 100, 422)
    assert "50000 values are wrong" in detail
    assert len(detail) < 200


def test_the_document_has_each_error_that_an_operation_can_answer(service: Path) -> None:
    code = (
        "result = {path: sorted(map(int, each['responses'])) for path, each in operations.items()}"
    )
    assert told(service, f"import json\n{DOCUMENTED}\n{code}") == {
        "/open": [200, 400, 503],
        "/one/{key}": [200, 400, 401, 403, 404, 429, 502, 503, 504],
        "/any/{key}": [200, 400, 401, 403, 404, 422, 429, 503],
        "/rows": [202, 400, 401, 403, 408, 409, 413, 418, 422, 429, 503],
    }


def test_an_error_in_the_document_is_a_problem_unless_the_operation_has_a_model_for_it(
    service: Path,
) -> None:
    code = """
rows = operations["/rows"]
answers = rows["responses"]
result = rows["operationId"], answers, document["components"]
"""
    name, answers, components = told(service, f"import json\n{DOCUMENTED}\n{code}")
    assert name == "orders_write"
    assert [status for status, answer in answers.items() if "$ref" not in answer] == ["202", "418"]
    assert [*answers["202"]["headers"]] == ["Location"]
    assert answers["401"] == {"$ref": "#/components/responses/Problem401"}

    problem, schemas = components["responses"]["Problem401"], components["schemas"]
    assert problem["content"] == {
        "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}
    }
    assert [*problem["headers"]] == ["WWW-Authenticate"]
    assert [*components["responses"]["Problem503"]["headers"]] == ["Retry-After"]
    assert schemas["Problem"]["required"] == ["type", "title", "status", "detail"]
    # Pydantic's own form allows other keys, and generators of clients do not know it.
    rows = schemas["Rows"]["properties"]["rows"]
    assert rows["propertyNames"] == {"pattern": "^a+$"}
    assert rows["additionalProperties"] == {"type": "integer"}


def test_an_integer_is_no_text_and_no_truth(service: Path) -> None:
    code = """
from pydantic import BaseModel, Field, ValidationError
from offload.json_integer import Integer
class Days(BaseModel):
    days: Integer = Field(10, ge=1)
def taken(value):
    try:
        return Days(days=value).days
    except ValidationError:
        return None
result = [taken(value) for value in (3, 3.0, "3", True, 3.5, 0)], Days.model_json_schema()
"""
    values, schema = told(service, code)
    assert values == [3, 3, None, None, None, None]
    assert schema["properties"]["days"]["minimum"] == 1


def test_half_a_character_and_what_is_no_json_are_refused(service: Path) -> None:
    bodies = [rb'{"rows": {"\ud800": 1}}', b'{"rows": {"\\u00e4": 1}}', b"{", b"[" * 100_000]
    code = f"result = [ask('POST', '/api/rows', body)[0] for body in {bodies!r}]"
    assert told(service, f"{ASKED}\n{code}") == [400, 200, 400, 400]


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

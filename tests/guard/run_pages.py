"""Runs the right examples of the pages as written: `python run_pages.py OFF101.views OFF204.views`.

Each argument is a package in the working directory and the file of it that is meant. The file is
imported, and what it defines last is called. Every page has a process of its own. Prints one JSON
object: for each page what it returned and how many jobs there are then, or its traceback.
"""

import ast
import asyncio
import inspect
import json
import sys
from collections.abc import Callable
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import django
import httpx
from celery import Celery
from children import in_child
from django.conf import settings
from django.core.management import call_command
from django.db import connections
from django.test import AsyncRequestFactory
from kombu import Queue

APPS = ["contenttypes", "auth", "sessions"]


def prepare() -> None:
    """A service with an empty database, and a broker in memory."""
    celery = Celery("pages", broker="memory://", set_as_default=True)
    celery.conf.task_queues = [Queue("cpu")]
    settings.configure(
        SECRET_KEY="pages",
        INSTALLED_APPS=[*(f"django.contrib.{app}" for app in APPS), "shop", "offload.jobs"],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "db.sqlite3"}},
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    )
    django.setup()
    call_command("migrate", run_syncdb=True, verbosity=0)
    connections.close_all()
    Path("terms.txt").write_text("The terms.")


def call_last(page: str) -> object:
    """Import the file, call what it defines last, and return what that returns."""
    module = import_module(page)
    source = ast.parse(inspect.getsource(module))
    functions = [
        each for each in source.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    if not functions:
        return None

    last = functions[-1]
    called = getattr(module, last.name)
    arguments = [value_of(argument.arg, module) for argument in last.args.args]
    # A letter for the example that waits for one.
    if inbox := getattr(module, "inbox", None):
        inbox.put_nowait("a letter")
    with ExitStack() as stack:
        if prices := getattr(module, "prices", None):
            answers = httpx.MockTransport(lambda _: httpx.Response(200, json={"price": 1}))
            stack.enter_context(prices.using(answers))
        return finished(getattr(called, "function", called), arguments)


def finished(function: Callable[..., Any], arguments: list[object]) -> object:
    """What a function returns; what a stream sends."""
    found = function(*arguments)
    if inspect.iscoroutine(found):
        found = asyncio.run(found)
    if getattr(found, "streaming", False):
        return asyncio.run(received(found))
    return found


async def received(stream: Any) -> list[bytes]:
    return [part async for part in stream]


def value_of(name: str, module: ModuleType) -> object:
    """An argument of an example, by its name."""
    match name:
        case "request":
            return request()
        case "params":
            return module.Params(**dict.fromkeys(module.Params.model_fields, 1))
        case "basket":
            return module.Basket(items=[1, 2])
        case "job_id":
            jobs = import_module(f"{module.__package__}.jobs")
            submit_sync = import_module("offload.jobs").submit_sync
            return submit_sync(jobs.risk, jobs.Params(seed=1), owner="ann").pk
    return {"report": None, "pk": 1, "symbols": ["ACME"], "values": [1.0, 3.0]}[name]


def request() -> object:
    """A request as Django's middleware hands it to a view."""
    from django.contrib.auth.middleware import AuthenticationMiddleware
    from django.contrib.sessions.backends.db import SessionStore

    made = AsyncRequestFactory().get("/")
    made.session = SessionStore()
    AuthenticationMiddleware(lambda _: None).process_request(made)
    return made


def run(page: str) -> dict[str, object]:
    """What a page returns, and how many jobs it has submitted."""
    from offload.jobs.models import Job

    Job.objects.all().delete()
    return {"value": repr(call_last(page)), "jobs": Job.objects.count()}


if __name__ == "__main__":
    prepare()
    print(json.dumps({page: in_child(run, page) for page in sys.argv[1:]}))

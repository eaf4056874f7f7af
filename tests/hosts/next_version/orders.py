"""The jobs of the next version: one has a parameter more, and one is new."""

import json
from typing import Any

from django.http import HttpRequest, HttpResponse
from hosts_project.models import Order, Reminder
from hosts_project.notes import note
from pydantic import BaseModel

from offload.jobs import JobType, MiB, Report, accepted, job, submit

VERSION = "new"


class Bill(BaseModel):
    """What is billed. Jobs of the old version have no currency, and it reads none."""

    name: str
    submitted_by: str
    log: str
    currency: str = "EUR"


class Billed(BaseModel):
    """The version that computed it."""

    by: str


@job("hosts.bill", time_limit=60, memory_limit=512 * MiB)
def bill(params: Bill, report: Report) -> Billed:
    Order.objects.get_or_create(name=params.name, defaults={"currency": params.currency})
    note(params.log, f"{params.name} {params.submitted_by} {VERSION}")
    return Billed(by=VERSION)


@job("hosts.remind", time_limit=60, memory_limit=512 * MiB)
def remind(params: Bill, report: Report) -> Billed:
    order, _ = Order.objects.get_or_create(name=params.name)
    Reminder.objects.create(order=order)
    note(params.log, f"{params.name} {params.submitted_by} {VERSION}")
    return Billed(by=VERSION)


async def submit_order(request: HttpRequest) -> HttpResponse:
    """Submit one of the jobs; the body has the name and the log."""
    body = json.loads(request.body)
    kind: JobType[Any, Any] = remind if body.pop("remind", False) else bill
    params = Bill(**body, submitted_by=VERSION, currency="CHF")
    return await accepted(await submit(kind, params, owner="ada"))

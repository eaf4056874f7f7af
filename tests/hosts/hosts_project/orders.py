"""A job that changes with the next version: `next_version/orders.py` takes this file's place."""

import json

from django.http import HttpRequest, HttpResponse
from hosts_project.models import Order
from hosts_project.notes import note
from pydantic import BaseModel

from offload.jobs import MiB, Report, accepted, job, submit

VERSION = "old"


class Bill(BaseModel):
    """What is billed: an order's name, the version that submitted it, and the file for notes."""

    name: str
    submitted_by: str
    log: str


class Billed(BaseModel):
    """The version that computed it."""

    by: str


@job("hosts.bill", time_limit=60, memory_limit=512 * MiB)
def bill(params: Bill, report: Report) -> Billed:
    Order.objects.get_or_create(name=params.name)
    note(params.log, f"{params.name} {params.submitted_by} {VERSION}")
    return Billed(by=VERSION)


async def submit_order(request: HttpRequest) -> HttpResponse:
    """Submit the job; the body has the name and the log."""
    params = Bill(**json.loads(request.body), submitted_by=VERSION)
    return await accepted(await submit(bill, params, owner="ada"))

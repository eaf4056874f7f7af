"""Waiting and querying as plain functions of one number."""

from django.contrib.auth.models import Group

from config.env import load
from offload.fanout.http import httpx

SANDBOX = f"http://127.0.0.1:{load().sandbox_port}"
APIS = [f"api{number}" for number in range(10)]

# One client for the whole process, whose connections its threads share, as in a sync service.
_client = httpx.Client(
    base_url=SANDBOX, timeout=30, trust_env=False, limits=httpx.Limits(max_connections=None)
)


def ask(api: str, ms: int) -> int:
    """Call one API, which takes `ms` milliseconds; returns the status."""
    return _client.get(f"/wait/{ms}/{api}").raise_for_status().status_code


def wait(ms: int) -> int:
    """Call ten APIs, one after the other."""
    return len([ask(api, ms) for api in APIS])


def query(rows: int) -> int:
    """Three queries: a count, one row, and a list of `rows`."""
    count = Group.objects.count()
    first = Group.objects.order_by("pk")[0]
    return count + first.pk + len(Group.objects.order_by("name")[:rows])

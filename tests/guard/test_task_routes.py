"""Routes of Celery that a task with a name of its own misses."""

from pathlib import Path

import pytest
from example_shop import findings

TASKS = """
from celery import shared_task

@shared_task(time_limit=60OPTIONS)
def count(pk):
    return pk

@shared_task(time_limit=60)
def send(pk):
    return pk
"""
SETTINGS = """
CELERY_BROKER_URL = "redis://broker/0"
CELERY_TASK_ROUTES = {"shop.views.*": {"queue": "slow"}MORE}
"""


@pytest.mark.parametrize(
    ("options", "more", "is_missed"),
    [
        (', name="count"', "", True),
        (', name="shop.count"', "", True),
        ("", "", False),
        (', name="shop.views.count"', "", False),
        (', name="count", queue="fast"', "", False),
        (', name="count"', ', "count": {"queue": "fast"}', False),
        (', name="count"', ', "cou*": {"queue": "fast"}', False),
        (', name="count"', ", **OTHERS", False),
        (", name=NAME", "", False),
    ],
)
def test_a_task_with_a_name_of_its_own_misses_the_route_of_its_module(
    tmp_path: Path, options: str, more: str, is_missed: bool
) -> None:
    settings = SETTINGS.replace("MORE", more)
    found = findings(tmp_path, TASKS.replace("OPTIONS", options), settings=settings)
    missed = [each for each in found if "the route" in each.subject]
    assert [(each.rule, each.severity) for each in missed] == [("OFF701", "warning")] * is_missed


def test_a_route_of_another_module_means_nothing_here(tmp_path: Path) -> None:
    settings = SETTINGS.replace("MORE", "").replace("shop.views", "shop.mails")
    code = TASKS.replace("OPTIONS", ', name="count"')
    found = findings(tmp_path, code, settings=settings)
    assert not [each for each in found if "the route" in each.subject]

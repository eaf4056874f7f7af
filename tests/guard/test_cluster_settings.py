"""What `Q_CLUSTER` of Django Q says together: the limit of a task, and when it is repeated."""

from pathlib import Path

import pytest
from twins import numbers

CLUSTER = 'Q_CLUSTER = {{"name": "shop", {0}}}\n'
PUBLISH = """
from django_q.tasks import async_task

def order(pk):
    async_task("shop.jobs.pack", pk, {0})
"""
WRONG = [
    ('"orm": "default", "timeout": 300', "error"),
    ('"sqs": {}, "timeout": 5 * 60, "retry": 120', "error"),
    ('"orm": "default", "timeout": 90, "retry": 60', "error"),
    ('"redis": {"host": "redis"}, "timeout": 300', "warning"),
    ('"orm": "default", "retry": 600', "warning"),
    ('"orm": "default", "timeout": None', "warning"),
    (
        '"orm": "default", "timeout": 9, "retry": 90, "ALT_CLUSTERS": {"l": {"timeout": 99}}',
        "error",
    ),
]
RIGHT = [
    '"orm": "default", "timeout": 300, "retry": 360',
    '"orm": "default", "timeout": 50',
    '"orm": "default", "timeout": 60, "retry": 60',
    '"redis": {"host": "redis"}, "retry": 600',
    '"orm": "default", "timeout": 300, "retry": env.int("RETRY", 360)',
    '"orm": "default", "timeout": env.int("LIMIT", 30)',
    '"orm": "default", "timeout": 300, "sync": True',
    '"orm": "default", "timeout": 300, **OTHERS',
    '"orm": "x", "timeout": 9, "ALT_CLUSTERS": {"l": {"timeout": 99, "retry": 120}, "s": {"a": 1}}',
]


def said(folder: Path, settings: str, code: str = "") -> set[str]:
    found = numbers(folder, code, settings=f"INSTALLED_APPS = []\n{settings}")
    return {severity for rule, severity in found if rule == "OFF701"}


@pytest.mark.parametrize(("cluster", "severity"), WRONG)
def test_a_limit_above_the_repetition_is_found(tmp_path: Path, cluster: str, severity: str) -> None:
    assert said(tmp_path, CLUSTER.format(cluster)) == {severity}


@pytest.mark.parametrize("cluster", RIGHT)
def test_a_limit_below_the_repetition_is_right(tmp_path: Path, cluster: str) -> None:
    assert said(tmp_path, CLUSTER.format(cluster)) == set()


def test_a_dictionary_by_its_name_is_read_and_one_that_changes_is_not(tmp_path: Path) -> None:
    settings = 'Q_CLUSTER = dict(orm="default", timeout=300)\n'
    assert said(tmp_path / "wrong", settings) == {"error"}
    assert said(tmp_path / "right", f'{settings}Q_CLUSTER["retry"] = 360\n') == set()


@pytest.mark.parametrize(
    ("given", "is_wrong"),
    [
        ("timeout=600", True),
        ('q_options={"timeout": 600}', True),
        ("timeout=60", False),
        ("group=600", False),
    ],
)
def test_a_call_with_a_longer_limit_is_found(tmp_path: Path, given: str, *, is_wrong: bool) -> None:
    cluster = CLUSTER.format('"orm": "default", "timeout": 60, "retry": 90')
    assert said(tmp_path, cluster, PUBLISH.format(given)) == ({"error"} if is_wrong else set())

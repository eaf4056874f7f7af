"""Receivers of saved rows: which of them publish a task that may not find the row."""

from pathlib import Path

import pytest
from twins import numbers

HEAD = (
    "from celery import shared_task\nfrom django.db import transaction\n"
    "from django.db.models.signals import post_save\n\n"
)
DECORATOR = (
    "def later(function):\n    def inner(*args, **kwargs):\n"
    "        transaction.on_commit(lambda: function(*args, **kwargs))\n    return inner\n\n"
    "def at_once(function):\n    return function\n\n"
)
RECEIVER = (
    "@receiver(post_save, sender=SENDER)\n{}"
    "def saved(sender, instance, **kwargs):\n    send.delay(instance.pk)\n\n"
)
TASK = "@shared_task\ndef send(pk):\n    return {}\n\n"
READS = "Order.objects.get(pk=pk)"
OF_ORDER = RECEIVER.replace("SENDER", "Order")
OF_LINE = RECEIVER.replace("SENDER", "Line")
HELPER = "def find(pk):\n    return Order.objects.get(pk=pk)\n\n"
# By name: the code, and whether the task may not find the row.
CASES = {
    "reads_the_row": (OF_ORDER.format("") + TASK.format(READS), True),
    "reads_the_row_below_a_call": (OF_ORDER.format("") + HELPER + TASK.format("find(pk)"), True),
    "reads_a_row_of_another_model": (OF_LINE.format("") + TASK.format(READS), False),
    "reads_the_row_by_a_relation": (
        OF_LINE.format("") + TASK.format(f"{READS}.line_set.count()"),
        True,
    ),
    "gets_rows_of_all_models": (
        RECEIVER.replace(", sender=SENDER", "").format("") + TASK.format(READS),
        True,
    ),
    "runs_at_once": (OF_ORDER.format("@at_once\n") + TASK.format(READS), True),
    "runs_after_the_commit": (OF_ORDER.format("@later\n") + TASK.format(READS), False),
}


@pytest.mark.parametrize("name", CASES)
def test_a_receiver_publishes_too_early_what_reads_its_row(tmp_path: Path, name: str) -> None:
    code, is_wrong = CASES[name]
    found = numbers(tmp_path, HEAD + DECORATOR + code)
    assert (("OFF306", "warning") in found) is is_wrong

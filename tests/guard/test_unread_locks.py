"""Rows that are to be locked by a query that nothing evaluates: it never runs."""

from pathlib import Path

import pytest
from example_shop import findings
from twins import Twins, check

HEAD = "\nfrom django.db import transaction\n"
CASES = {
    "with_a_type": Twins(
        "OFF111",
        "error",
        f"{HEAD}\ndef pay(pk):\n    rows: object = Order.objects.select_for_update()\n",
        f"{HEAD}\ndef pay(pk):\n    rows: object = Order.objects.select_for_update()\n"
        "    return rows\n",
    ),
    "assigned_and_not_read": Twins(
        "OFF111",
        "error",
        f"""{HEAD}
@transaction.atomic
def rename(names):
    locked = Order.objects.filter(pk__in=names).select_for_update()
    for order in Order.objects.filter(pk__in=names):
        order.save()
""",
        f"""{HEAD}
@transaction.atomic
def rename(names):
    locked = Order.objects.filter(pk__in=names).select_for_update()
    for order in locked:
        order.save()
""",
    ),
    "statement_alone": Twins(
        "OFF111",
        "error",
        f"""{HEAD}
def pay(pk):
    with transaction.atomic():
        Order.objects.select_for_update().filter(pk=pk)
        Order.objects.filter(pk=pk).update(paid=True)
""",
        f"""{HEAD}
def pay(pk):
    with transaction.atomic():
        list(Order.objects.select_for_update().filter(pk=pk))
        Order.objects.filter(pk=pk).update(paid=True)
""",
    ),
    "narrowed_and_not_read": Twins(
        "OFF111",
        "error",
        f"""{HEAD}
@transaction.atomic
def pay(pk, only_open):
    rows = Order.objects.select_for_update(skip_locked=True)
    if only_open:
        rows = rows.filter(paid=False)
    Order.objects.filter(pk=pk).update(paid=True)
""",
        f"""{HEAD}
@transaction.atomic
def pay(pk, only_open):
    rows = Order.objects.select_for_update(skip_locked=True)
    if only_open:
        rows = rows.filter(paid=False)
    return rows.filter(pk=pk).count() or list(rows)
""",
    ),
    "helper_that_returns_the_query": Twins(
        "OFF111",
        "error",
        f"""{HEAD}
def locked(pk):
    return Order.objects.filter(pk=pk).select_for_update()

@transaction.atomic
def pay(pk):
    _rows = locked(pk)
    Order.objects.filter(pk=pk).update(paid=True)
""",
        f"""{HEAD}
def locked(pk):
    rows = Order.objects.filter(pk=pk).select_for_update()
    len(rows)
    return rows

@transaction.atomic
def pay(pk):
    _rows = locked(pk)
    Order.objects.filter(pk=pk).update(paid=True)
""",
    ),
    "read_by_an_inner_function": Twins(
        "OFF111",
        "error",
        f"""{HEAD}
@transaction.atomic
def pay(pk):
    rows = Order.objects.select_for_update().filter(pk=pk)
    def count():
        return len(Order.objects.filter(pk=pk))
    return count()
""",
        f"""{HEAD}
@transaction.atomic
def pay(pk):
    rows = Order.objects.select_for_update().filter(pk=pk)
    def count():
        return len(rows)
    return count()
""",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_query_that_locks_has_to_run(tmp_path: Path, name: str) -> None:
    check(CASES[name], tmp_path)


def test_the_sentence_says_why_nothing_is_locked(tmp_path: Path) -> None:
    (found,) = (
        each for each in findings(tmp_path, CASES["statement_alone"].wrong) if each.rule == "OFF111"
    )
    assert found.subject.endswith("`, which nothing evaluates,")
    assert found.message.endswith("locks no rows")

"""Rows that are locked without a transaction: Django refuses it when the query runs."""

from pathlib import Path

import pytest
from twins import Twins, check, numbers

HEAD = """
from celery import shared_task
from django.db import transaction

"""
LOCKED = "Order.objects.select_for_update().get(pk=pk)"
CASES = {
    "one_line_before_the_transaction": Twins(
        "OFF111",
        "warning",
        f"""{HEAD}
@shared_task
def pay(pk):
    order = {LOCKED}
    with transaction.atomic():
        order.paid = True
        order.save()
""",
        f"""{HEAD}
@shared_task
def pay(pk):
    with transaction.atomic():
        order = {LOCKED}
        order.paid = True
        order.save()
""",
    ),
    "after_the_transaction": Twins(
        "OFF111",
        "warning",
        f"""{HEAD}
def view(request, pk):
    with transaction.atomic():
        Order.objects.filter(pk=pk).update(paid=True)
    for order in Order.objects.filter(parent=pk).select_for_update():
        order.delete()
""",
        f"""{HEAD}
def view(request, pk):
    orders = Order.objects.filter(parent=pk).select_for_update()
    with transaction.atomic():
        Order.objects.filter(pk=pk).update(paid=True)
        for order in orders:
            order.delete()
""",
    ),
    "counted_again_after_the_transaction": Twins(
        "OFF111",
        "warning",
        f"""{HEAD}
@shared_task
def pay(pk):
    orders = Order.objects.filter(parent=pk).select_for_update()
    with transaction.atomic():
        for order in Order.objects.filter(parent=pk):
            order.delete()
    return len(orders)
""",
        f"""{HEAD}
@shared_task
def pay(pk):
    orders = Order.objects.filter(parent=pk).select_for_update()
    with transaction.atomic():
        for order in orders:
            order.delete()
    return len(orders)
""",
    ),
    "task_through_a_function": Twins(
        "OFF111",
        "warning",
        f"""{HEAD}
def mark(pk):
    order = {LOCKED}
    order.save()

@shared_task
def pay(pk):
    mark(pk)
""",
        f"""{HEAD}
def mark(pk):
    order = {LOCKED}
    order.save()

@shared_task
def pay(pk):
    with contextlib.ExitStack() as stack:
        stack.enter_context(transaction.atomic())
        mark(pk)
""",
    ),
    "block_of_the_project": Twins(
        "OFF111",
        "warning",
        f"""{HEAD}
@contextlib.contextmanager
def logged():
    yield

@shared_task
def pay(pk):
    with logged():
        order = {LOCKED}
""",
        f"""{HEAD}
@contextlib.contextmanager
def all_or_nothing():
    with transaction.atomic():
        yield

@shared_task
def pay(pk):
    with all_or_nothing():
        order = {LOCKED}
""",
    ),
    "decorator_of_the_project": Twins(
        "OFF111",
        "warning",
        f"""{HEAD}
def logged(function):
    def wrapper(pk):
        return function(pk)
    return wrapper

@shared_task
@logged
def pay(pk):
    order = {LOCKED}
""",
        f"""{HEAD}
def in_transaction(function):
    def wrapper(pk):
        with transaction.atomic():
            return function(pk)
    return wrapper

@shared_task
@in_transaction
def pay(pk):
    order = {LOCKED}
""",
    ),
    "after_the_commit": Twins(
        "OFF111",
        "warning",
        f"""{HEAD}
def pack(pk):
    order = {LOCKED}

@transaction.atomic
def pay(pk):
    transaction.on_commit(functools.partial(pack, pk))
""",
        f"""{HEAD}
def pack(pk):
    order = {LOCKED}

@transaction.atomic
def pay(pk):
    pack(pk)
""",
    ),
    "method_that_opens_a_transaction": Twins(
        "OFF111",
        "warning",
        f"{HEAD}\n@shared_task\ndef pay(pk):\n"
        "    Order.objects.select_for_update().get_or_create(pk=pk)\n",
        f"{HEAD}\n@shared_task\ndef pay(pk):\n"
        "    Order.objects.select_for_update().update_or_create(pk=pk)\n",
    ),
    "method_that_ignores_the_lock": Twins(
        "OFF111",
        "warning",
        f"{HEAD}\n@shared_task\ndef pay(pk):\n"
        "    return Order.objects.select_for_update().filter(pk=pk).exists()\n",
        f"{HEAD}\n@shared_task\ndef pay(pk):\n"
        "    return Order.objects.select_for_update().filter(pk=pk).count()\n",
    ),
    "shortcut": Twins(
        "OFF111",
        "warning",
        f"""{HEAD}
def view(request, pk):
    order = get_object_or_404(Order.objects.select_for_update(), pk=pk)
    with transaction.atomic():
        order.save()
""",
        f"""{HEAD}
def view(request, pk):
    with transaction.atomic():
        order = get_object_or_404(Order.objects.select_for_update(), pk=pk)
        order.save()
""",
    ),
    "class_of_tasks": Twins(
        "OFF111",
        "warning",
        f"""{HEAD}
from celery import Task

class Pay(Task):
    def run(self, pk):
        return {LOCKED}
""",
        f"""{HEAD}
from celery import Task

class Pay(Task):
    def __call__(self, *args):
        with transaction.atomic():
            return super().__call__(*args)

    def run(self, pk):
        return {LOCKED}
""",
    ),
    "base_of_a_task": Twins(
        "OFF111",
        "warning",
        f"""{HEAD}
from celery import Task

class Logged(Task):
    pass

@shared_task(base=Logged)
def pay(pk):
    return {LOCKED}
""",
        f"""{HEAD}
from celery import Task

class InTransaction(Task):
    def __call__(self, *args):
        with transaction.atomic():
            return super().__call__(*args)

class Logged(InTransaction):
    pass

@shared_task(base=Logged)
def pay(pk):
    return {LOCKED}
""",
    ),
    "no_autocommit": Twins(
        "OFF111",
        "warning",
        f"{HEAD}\n@shared_task\ndef pay(pk):\n    order = {LOCKED}\n"
        "    transaction.set_autocommit(False)\n",
        f"{HEAD}\n@shared_task\ndef pay(pk):\n    transaction.set_autocommit(False)\n"
        f"    order = {LOCKED}\n",
    ),
}
MANAGER = """
from celery import shared_task
from django.db import models, transaction

class SeatQuerySet(models.QuerySet):
    def held(self):
        return self.select_for_update(nowait=True)

class Seat(models.Model):
    objects = SeatQuerySet.as_manager()

@shared_task
def take(pk):
    {line}
"""


@pytest.mark.parametrize("name", CASES)
def test_a_lock_needs_a_transaction(tmp_path: Path, name: str) -> None:
    check(CASES[name], tmp_path)


@pytest.mark.parametrize(
    ("line", "severity"),
    [
        ("return Seat.objects.held().get(pk=pk)", "warning"),
        ("Seat.objects.held().filter(pk=pk)", "error"),
        ("with transaction.atomic():\n        return Seat.objects.held().get(pk=pk)", ""),
        ("return Seat.objects.filter(pk=pk).get()", ""),
    ],
)
def test_a_method_of_a_manager_may_lock(tmp_path: Path, line: str, severity: str) -> None:
    found = numbers(tmp_path, "", seats=MANAGER.format(line=line))
    assert {s for rule, s in found if rule == "OFF111"} == ({severity} if severity else set())


@pytest.mark.parametrize(
    ("code", "is_wrong"),
    [
        (f"\ndef view(request, pk):\n    return {LOCKED}\n", False),
        (f"{HEAD}\n@shared_task\ndef pay(pk):\n    return {LOCKED}\n", True),
    ],
)
def test_a_transaction_of_each_request_is_none_of_a_task(
    tmp_path: Path, code: str, *, is_wrong: bool
) -> None:
    database = '{"ENGINE": "x", "ATOMIC_REQUESTS": True}'
    settings = f'INSTALLED_APPS = []\nDATABASES = {{"default": {database}}}\n'
    found = numbers(tmp_path, code, settings=settings)
    assert (("OFF111", "warning") in found) is is_wrong

"""What runs inside of a transaction: tasks that are published, services that are called."""

from pathlib import Path

import pytest
from twins import Twins, check

TASK = """
from celery import shared_task
from django.db import transaction

@shared_task
def report(pk):
    return pk
"""
CALL = TASK + "def rate():\n    return requests.get('https://bank.example', timeout=5).json()\n"
CASES = {
    "decorator": Twins(
        "OFF306",
        "error",
        TASK
        + """
class Page(View):
    @transaction.atomic
    def post(self, request):
        order = Order.objects.create()
        report.delay(order.pk)
""",
        TASK
        + """
class Page(View):
    @transaction.atomic
    def post(self, request):
        order = Order.objects.create()
        transaction.on_commit(lambda: report.delay(order.pk))
""",
    ),
    "after_the_commit_by_its_own_name": Twins(
        "OFF306",
        "error",
        TASK + "def view(request):\n    with transaction.atomic():\n"
        "        order = Order.objects.create()\n        report.apply_async([order.pk])\n",
        TASK + "def view(request):\n    with transaction.atomic():\n"
        "        order = Order.objects.create()\n        report.delay_on_commit(order.pk)\n",
    ),
    "result_after_the_commit": Twins(
        "OFF306",
        "error",
        TASK + "def view(request):\n    transaction.on_commit(report.delay(1))\n",
        TASK + "def view(request):\n    transaction.on_commit(lambda: report.delay(1))\n",
    ),
    "result_of_options_after_the_commit": Twins(
        "OFF306",
        "error",
        TASK
        + "def view(request):\n    transaction.on_commit(report.apply_async([1], countdown=9))\n",
        TASK + "def view(request):\n    transaction.on_commit(report.si(1).delay)\n",
    ),
    "result_of_another_database": Twins(
        "OFF306",
        "error",
        TASK + "def view(request):\n    transaction.on_commit(report.delay(1), using='other')\n",
        TASK
        + "def view(request):\n    transaction.on_commit(functools.partial(report.delay, 1))\n",
    ),
    "function_of_a_table": Twins(
        "OFF306",
        "error",
        TASK
        + """
def pay(pk):
    Order.objects.filter(pk=pk).update(paid=True)
    report.delay(pk)

ACTIONS = {"pay": pay}

def view(request):
    with transaction.atomic():
        action = ACTIONS[request.POST["action"]]
        action(1)
""",
        TASK
        + """
def pay(pk):
    Order.objects.filter(pk=pk).update(paid=True)

ACTIONS = {"pay": pay}

def view(request):
    with transaction.atomic():
        ACTIONS.get(request.POST["action"])(1)
    report.delay(1)
""",
    ),
    "far_away": Twins(
        "OFF306",
        "error",
        TASK
        + """
def tell(pk):
    report.delay(pk)

@transaction.atomic
def pay(pk):
    Order.objects.filter(pk=pk).update(paid=True)
    tell(pk)
""",
        TASK
        + """
def publish(pk):
    report.delay(pk)

def tell(pk):
    publish(pk)

@transaction.atomic
def pay(pk):
    Order.objects.filter(pk=pk).update(paid=True)
    tell(pk)
""",
    ),
    "service": Twins(
        "OFF110",
        "warning",
        CALL
        + """
@transaction.atomic
def pay(pk):
    order = Order.objects.select_for_update().get(pk=pk)
    order.price = rate()
    order.save()
""",
        CALL
        + """
def pay(pk):
    price = rate()
    with transaction.atomic():
        order = Order.objects.select_for_update().get(pk=pk)
        order.price = price
        order.save()
""",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_transaction_neither_publishes_nor_calls_out(tmp_path: Path, name: str) -> None:
    check(CASES[name], tmp_path)

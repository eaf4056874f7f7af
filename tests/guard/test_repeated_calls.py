"""Loops of sync views over rows, with another service or the mail server in each turn."""

from pathlib import Path

import pytest
from twins import numbers

HEAD = """
import smtplib
from celery import shared_task
from django.contrib import admin
from django.core.mail import EmailMessage, send_mail
from django.views.generic import FormView

def notify(order):
    requests.post("https://hook.example", json={"pk": order.pk}, timeout=5)

def notify_all(name):
    orders = Order.objects.filter(customer__name=name)
    for order in orders:
        mail = EmailMessage("a", "b", to=[order.pk])
        mail.send()

@shared_task
def notify_later(pk):
    requests.post("https://hook.example", json={"pk": pk}, timeout=5)
"""
WRONG = {
    "helper": "def view(request):\n    notify_all(request.GET['name'])\n",
    "own_loop": "def view(request):\n    for order in Order.objects.all():\n"
    "        send_mail('a', 'b', None, [order.pk])\n",
    "service_of_a_helper": "def view(request):\n    for order in Order.objects.all():\n"
    "        notify(order)\n",
    "body": "def view(request):\n    for url in request.POST.getlist('urls'):\n"
    "        requests.get(url, timeout=5)\n",
    "admin": "class OrderAdmin(admin.ModelAdmin):\n"
    "    def send(self, request, queryset):\n        for order in queryset:\n"
    "            notify(order)\n",
    "hook": "class Page(FormView):\n    def form_valid(self, form):\n"
    "        for order in Order.objects.all():\n            notify(order)\n",
}
RIGHT = {
    "task_for_each": "def view(request):\n    for order in Order.objects.all():\n"
    "        notify_later.delay(order.pk)\n",
    "few": "def view(request):\n    for order in Order.objects.all()[:3]:\n        notify(order)\n",
    "list_of_the_source": "def view(request):\n    for url in ('a', 'b'):\n"
    "        requests.get(url, timeout=5)\n",
    "first_answer": "def view(request):\n    for order in Order.objects.all():\n"
    "        if requests.get(order.url, timeout=5).ok:\n            return order.pk\n",
    "task": "@shared_task\ndef all_of():\n    for order in Order.objects.all():\n"
    "        notify(order)\n",
    "one": "def view(request):\n    order = Order.objects.get(pk=1)\n    notify(order)\n",
}


def said(folder: Path, code: str) -> set[str]:
    return {severity for rule, severity in numbers(folder, HEAD + code) if rule == "OFF406"}


@pytest.mark.parametrize("name", WRONG)
def test_a_request_does_not_wait_for_each_row(tmp_path: Path, name: str) -> None:
    assert said(tmp_path, WRONG[name]) == {"warning"}


@pytest.mark.parametrize("name", RIGHT)
def test_what_does_not_grow_with_the_rows_is_right(tmp_path: Path, name: str) -> None:
    assert said(tmp_path, RIGHT[name]) == set()

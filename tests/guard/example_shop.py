"""A shop whose views the linter reads: its models, and what its views import."""

from pathlib import Path

from offload_dev.lint.grade import grade
from offload_dev.lint.report.findings import Finding
from offload_dev.lint.source.project import Project

MODELS = """
from django.db import models

class OrderQuerySet(models.QuerySet):
    def paid(self):
        return self.filter(paid=True)

    def total(self):
        return sum(order.price for order in self)

class Customer(models.Model):
    name = models.CharField(max_length=9)

class Order(models.Model):
    customer = models.ForeignKey(Customer, models.CASCADE, related_name="orders")
    parent = models.ForeignKey("self", models.CASCADE, null=True)
    tags = models.ManyToManyField("Tag")
    objects = OrderQuerySet.as_manager()

    @property
    def lines_count(self):
        return self.line_set.filter(hidden=False).count()

    @property
    def owner(self):
        return self.customer.name

    def __str__(self):
        return f"{self.customer.name} {self.pk}"

    def get_absolute_url(self):
        return f"/{self.customer.name}/{self.pk}"

class Line(models.Model):
    order = models.ForeignKey(Order, models.CASCADE)
    product = models.ForeignKey("Product", models.CASCADE)

class Product(models.Model):
    name = models.CharField(max_length=9)

class Tag(models.Model):
    pass
"""
HEAD = """
import asyncio
import contextlib
import functools
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Optional

import requests
from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.dispatch import Signal, receiver
from django.http import HttpRequest
from django.contrib.auth.mixins import LoginRequiredMixin
from django.shortcuts import get_object_or_404, redirect, render
from django.views import View
from ninja import Router
from rest_framework import serializers

from .models import Customer, Line, Order

router = Router()
"""


def findings(folder: Path, code: str, **others: str) -> list[Finding]:
    """What the linter says of the shop.

    Args:
        code: `views.py`, below the imports of `HEAD`.
        others: more files of the package, by path without ending.
    """
    package = folder / "shop"
    package.mkdir(parents=True)
    files = {"__init__": "", "models": MODELS, "views": HEAD + code} | others
    for name, text in files.items():
        path = package / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return grade(Project(folder))

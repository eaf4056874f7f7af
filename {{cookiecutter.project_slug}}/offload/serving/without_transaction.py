"""Says of an async view that it wants no transaction, for services with ATOMIC_REQUESTS."""

from collections.abc import Callable
from typing import Any, TypeVar

from django.db import connections, transaction

View = TypeVar("View", bound=Callable[..., Any])


def without_transaction(view: View) -> View:
    """Mark an async view for every database: Django refuses to wrap one in a transaction."""
    for alias in connections:
        transaction.non_atomic_requests(using=alias)(view)
    return view

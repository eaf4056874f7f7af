"""What the log says of the work that a line belongs to, whoever logs it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

_fields: ContextVar[Mapping[str, Any]] = ContextVar("log_fields", default={})  # noqa: B039


def log_fields() -> Mapping[str, Any]:
    """The fields of the work that runs in this context. The log's formatter adds them."""
    return _fields.get()


@contextmanager
def log_context(fields: Mapping[str, Any]) -> Iterator[None]:
    """Add these fields to every line that is logged in the block, also by other libraries."""
    token = _fields.set(fields)
    try:
        yield
    finally:
        _fields.reset(token)

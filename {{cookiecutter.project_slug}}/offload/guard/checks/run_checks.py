"""Runs the checks when the process starts: errors stop the start, warnings are logged."""

import logging
from collections.abc import Iterable

from django.core import checks
from django.core.exceptions import ImproperlyConfigured

logger = logging.getLogger("offload.guard")

TAG = "offload"
DOCS = "docs/guard/"


def error(number: str, what: str, instead: str) -> checks.CheckMessage:
    """A finding that stops the start.

    Args:
        number: the name of its page in docs/guard/, such as `E701`.
        what: a sentence that names the place and the fault.
        instead: what to write instead.
    """
    return checks.Error(what, hint=f"{instead} ({DOCS}{number}.md)", id=f"{TAG}.{number}")


def warning(number: str, what: str, instead: str) -> checks.CheckMessage:
    """A finding that is logged at start; arguments as for `error`."""
    return checks.Warning(what, hint=f"{instead} ({DOCS}{number}.md)", id=f"{TAG}.{number}")


class StartRefused(ImproperlyConfigured):
    """Settings that block the event loop or stop jobs: the text says where, and what to write."""


def run_checks() -> None:
    """Check the settings, the middleware and the URLs as they are now.

    `manage.py check` checks them as they are written. But some libraries add middleware when they
    are imported, so the start checks once more. Call this once per process: each call logs the
    warnings.

    Raises:
        StartRefused: there are errors; the text has one line for each of them.
    """
    found = checks.run_checks(tags=[TAG])
    log_warnings(message for message in found if not message.is_serious())
    if errors := _sentences(message for message in found if message.is_serious()):
        raise StartRefused("The service does not start with these settings:\n" + "\n".join(errors))


def log_warnings(found: Iterable[checks.CheckMessage]) -> None:
    """Log what checks have found, unless the settings silence it."""
    for sentence in _sentences(found):
        logger.warning(sentence)


def _sentences(found: Iterable[checks.CheckMessage]) -> list[str]:
    """One sentence for each. A view that stands under two URLs is found twice, and said once."""
    heard = (message for message in found if not message.is_silenced())
    sentences = (f"{message.id}: {message.msg} Instead: {message.hint}" for message in heard)
    return list(dict.fromkeys(sentences))

"""The started net: Django system checks of tag `offload`, run again when the process starts."""

import logging

from django.core import checks
from django.core.exceptions import ImproperlyConfigured

TAG = "offload"
DOCS = "docs/guard/"

logger = logging.getLogger("offload.guard")
_told: set[str] = set()


class StartRefused(ImproperlyConfigured):
    """The settings break the rule; the sentences say where, and what to write instead."""


def error(number: str, what: str, instead: str) -> checks.CheckMessage:
    """A finding that stops the start: `number` is that of its page, such as `E701`."""
    return checks.Error(what, hint=f"{instead} ({DOCS}{number}.md)", id=f"{TAG}.{number}")


def warning(number: str, what: str, instead: str) -> checks.CheckMessage:
    """A finding that is logged."""
    return checks.Warning(what, hint=f"{instead} ({DOCS}{number}.md)", id=f"{TAG}.{number}")


def run_checks() -> None:
    """Hold the settings, middleware and URLs as they are now against the rule.

    `manage.py check` sees them as they were written; libraries insert middleware when they are
    imported. Warnings are logged once a process.

    Raises:
        StartRefused: with one line for every error.
    """
    found = [message for message in checks.run_checks(tags=[TAG]) if not message.is_silenced()]
    sentences = [f"{message.id}: {message.msg} Instead: {message.hint}" for message in found]
    errors = [
        sentence for message, sentence in zip(found, sentences, strict=True) if message.is_serious()
    ]
    for sentence in sentences:
        if sentence not in errors and sentence not in _told:
            _told.add(sentence)
            logger.warning(sentence)
    if errors:
        raise StartRefused("The service would block its event loop:\n" + "\n".join(errors))

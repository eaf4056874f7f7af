"""Runs the checks when the process starts: errors stop the start, warnings are logged."""

import logging

from django.core import checks
from django.core.exceptions import ImproperlyConfigured

from offload.guard.checks.messages import TAG

logger = logging.getLogger("offload.guard")


class StartRefused(ImproperlyConfigured):
    """The settings would block the event loop. The text says where, and what to write instead."""


def run_checks() -> None:
    """Check the settings, the middleware and the URLs as they are now.

    `manage.py check` checks them as they are written. But some libraries add middleware when they
    are imported, so the start checks once more. Call this once per process: each call logs the
    warnings.

    Raises:
        StartRefused: there are errors; the text has one line for each of them.
    """
    errors: list[str] = []
    warnings: list[str] = []
    for message in checks.run_checks(tags=[TAG]):
        if not message.is_silenced():
            sentence = f"{message.id}: {message.msg} Instead: {message.hint}"
            (errors if message.is_serious() else warnings).append(sentence)

    # A view that stands under two URLs is found twice. Its sentence is said once.
    for sentence in dict.fromkeys(warnings):
        logger.warning(sentence)
    if errors:
        lines = dict.fromkeys(errors)
        raise StartRefused("The service would block its event loop:\n" + "\n".join(lines))

"""Writes when each token was used: rarely, and never while a request waits for it."""

import logging
import time
from datetime import timedelta

from asgiref.sync import sync_to_async
from django.db import DatabaseError, InterfaceError, connections
from django.db.models import Q
from django.db.models.functions import Now

logger = logging.getLogger("offload.access")

# Seconds between two writes of a process, and between two writes of a token by all processes.
LAST_USE_INTERVAL_SECONDS = 60.0


class LastUse:
    """The tokens that a web process has seen since it wrote the last time, by digest.

    The uses of a process's last minute are lost if it ends.
    """

    def __init__(self) -> None:
        self._used: set[str] = set()
        self._written_at = float("-inf")
        self.add = self._used.add

    async def write(self) -> None:
        """Write the uses, if the last write is long enough ago. One statement is for all tokens."""
        if not self._used or time.monotonic() - self._written_at < LAST_USE_INTERVAL_SECONDS:
            return
        self._written_at, used = time.monotonic(), set(self._used)
        self._used.clear()
        await sync_to_async(_write)(used)


def _write(digests: set[str]) -> None:
    # Here, since the package is imported before Django's models are loaded.
    from offload.access.models import ApiToken

    long_ago = Now() - timedelta(seconds=LAST_USE_INTERVAL_SECONDS)
    unwritten = Q(last_used_at=None) | Q(last_used_at__lt=long_ago)
    try:
        ApiToken.objects.filter(unwritten, digest__in=digests).update(last_used_at=Now())
    except (DatabaseError, InterfaceError) as error:
        logger.warning("The last use of %d tokens is not written: %s", len(digests), error)
        # The next try needs another connection.
        connections.close_all()

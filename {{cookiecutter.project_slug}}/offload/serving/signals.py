"""Sends Django's request signals to the receivers that are not Django's own."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from asgiref.sync import sync_to_async
from django.core.cache import close_caches
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.base import reset_urlconf
from django.db import close_old_connections, reset_queries
from django.dispatch import Signal

# Django's own receivers of `request_started` and `request_finished`. They tidy up the thread that a
# request used, so the lean handler runs them only around such a thread (`database.py`).
BUILT_IN = {reset_queries, close_old_connections, close_caches, reset_urlconf}


class ForeignReceivers:
    """Calls the receivers that a service or a library has connected, with the sender of Django."""

    def __init__(self) -> None:
        # By signal its receivers as they were when all of them were found to be built in. Comparing
        # the lists costs a fifth of asking the signal.
        self._only_built_in: dict[Signal, list[Any]] = {}

    async def send(self, signal: Signal, **named: Any) -> None:
        """Send a signal to everybody's receivers except Django's own."""
        if signal.receivers == self._only_built_in.get(signal):
            return

        sync_receivers, async_receivers = signal._live_receivers(ASGIHandler)
        if not async_receivers and BUILT_IN.issuperset(sync_receivers):
            self._only_built_in[signal] = signal.receivers.copy()
            return

        foreign = [receiver for receiver in sync_receivers if receiver not in BUILT_IN]
        if foreign:
            await sync_to_async(_call_all)(foreign, signal=signal, sender=ASGIHandler, **named)
        await asyncio.gather(
            *(receiver(signal=signal, sender=ASGIHandler, **named) for receiver in async_receivers)
        )


def _call_all(receivers: Sequence[Callable[..., object]], **named: Any) -> None:
    for receiver in receivers:
        receiver(**named)

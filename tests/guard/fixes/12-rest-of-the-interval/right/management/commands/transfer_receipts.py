"""The management command."""

import asyncio

from django.core.management.base import BaseCommand

from ...models import Peer, Receipt
from ...transfer import Transfer


async def peers() -> list[str]:
    return [url async for url in Peer.objects.values_list("url", flat=True)]


async def save(rows: list[dict]) -> int:
    made = await Receipt.objects.abulk_create(
        [Receipt(key=row["key"], body=row) for row in rows], ignore_conflicts=True
    )
    return len(made)


class Command(BaseCommand):
    def add_arguments(self, parser):
        parser.add_argument("--interval", type=float, default=2.0)

    def handle(self, *args, **options):
        asyncio.run(Transfer(peers, save).run(options["interval"]))

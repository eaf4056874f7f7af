import asyncio

from django.core.management.base import BaseCommand

from ...relay import RelayManager


class Command(BaseCommand):
    def handle(self, *args, **options):
        asyncio.run(RelayManager().run())

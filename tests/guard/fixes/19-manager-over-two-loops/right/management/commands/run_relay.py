import asyncio
import logging
import time

from django.core.management.base import BaseCommand

from ...manager import RelayManager

logger = logging.getLogger(__name__)

PAUSE_SECONDS = 10


class Command(BaseCommand):
    help = "Passes messages between the nodes."

    def handle(self, *args, **options):
        while True:
            try:
                asyncio.run(RelayManager().run())
            except KeyboardInterrupt:
                logger.info("The relay ends.")
                break
            except Exception:
                logger.exception("The relay failed; it restarts in %s s.", PAUSE_SECONDS)
                time.sleep(PAUSE_SECONDS)

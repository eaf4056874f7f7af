import logging
import multiprocessing
import queue
import threading
from concurrent.futures import ProcessPoolExecutor
from io import BytesIO
from pathlib import Path

import django
from django.conf import settings
from PIL import Image

from .models import Comic

logger = logging.getLogger(__name__)

SIZE = (165, 254)


class QueuedThread(threading.Thread):
    def __init__(self):
        super().__init__(name=type(self).__name__, daemon=True)
        self.queue: queue.Queue = queue.Queue(maxsize=1000)

    def process_item(self, item) -> None:
        raise NotImplementedError

    def run(self) -> None:
        while (item := self.queue.get()) is not None:
            try:
                self.process_item(item)
            except Exception:
                logger.exception("%s could not work on %r", self.name, item)

    def stop(self) -> None:
        self.queue.put(None)
        self.join(timeout=10)


def thumbnail(path: str) -> bytes:
    """Runs in a process of the pool: no database here."""
    out = BytesIO()
    with Image.open(path) as cover:
        cover.thumbnail(SIZE, Image.Resampling.LANCZOS, reducing_gap=3.0)
        cover.save(out, "WEBP", method=6)
    return out.getvalue()


class CoverThread(QueuedThread):
    def __init__(self):
        super().__init__()
        self._pool: ProcessPoolExecutor | None = None

    def pool(self) -> ProcessPoolExecutor:
        if self._pool is None:
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(
                settings.COVER_WORKERS, mp_context=context, initializer=django.setup
            )
        return self._pool

    def process_item(self, item) -> None:
        paths = dict(Comic.objects.filter(pk__in=item).values_list("pk", "cover_path"))
        for pk, data in zip(paths, self.pool().map(thumbnail, paths.values()), strict=True):
            target = Path(settings.COVER_ROOT) / f"{pk}.webp"
            target.write_bytes(data)

    def stop(self) -> None:
        super().stop()
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)


cover_thread = CoverThread()

import logging
import queue
import threading
from io import BytesIO
from pathlib import Path

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


class CoverThread(QueuedThread):
    def _thumbnail(self, path: str) -> bytes:
        out = BytesIO()
        with Image.open(path) as cover:
            cover.thumbnail(SIZE, Image.Resampling.LANCZOS, reducing_gap=3.0)
            cover.save(out, "WEBP", method=6)
        return out.getvalue()

    def process_item(self, item) -> None:
        paths = dict(Comic.objects.filter(pk__in=item).values_list("pk", "cover_path"))
        for pk, path in paths.items():
            target = Path(settings.COVER_ROOT) / f"{pk}.webp"
            target.write_bytes(self._thumbnail(path))


cover_thread = CoverThread()

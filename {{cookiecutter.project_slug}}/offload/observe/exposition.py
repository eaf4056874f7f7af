"""The text that Prometheus reads."""

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from offload.observe import process_files

logger = logging.getLogger("offload.metrics")


def make_text() -> bytes:
    """The metrics of this process; with files, of all processes that count in the same folder."""
    if process_files.folder() is None:
        return generate_latest()

    process_files.make_folder()
    process_files.remove_gauges_of_the_dead()
    registry = CollectorRegistry()
    ReadableFiles(registry)
    return generate_latest(registry)


class ReadableFiles(MultiProcessCollector):
    """The library's sum of all files, without those that are damaged.

    One damaged file must not take the figures of all others along.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__(registry)  # type: ignore[no-untyped-call]
        self._folder = Path(self._path)

    def collect(self) -> Iterable[Any]:
        """As the library's. Only after an error each file is looked at, which takes longer."""
        files = list(self._folder.glob("*.db"))
        try:
            return self._sum(files)
        except Exception:  # noqa: BLE001  # as in `is_whole`
            whole = [file for file in files if process_files.is_whole(file)]

        # A file that is empty was made a moment ago.
        damaged = [file.name for file in files if file not in whole and _size(file)]
        if damaged:
            logger.warning(
                "The metrics lack what was counted in damaged files of %s: %s. The next process "
                "that takes one of these numbers removes its files.",
                self._folder,
                ", ".join(damaged),
            )
        return self._sum(whole)

    def _sum(self, files: list[Path]) -> Iterable[Any]:
        found: Iterable[Any] = self.merge(map(str, files))  # type: ignore[no-untyped-call]
        return found


def _size(file: Path) -> int:
    """In bytes; 0 if it is gone."""
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0

"""The spool: a folder of this host that keeps how jobs have ended while the database is away.

A file holds one end: the job's id, the token of its claim, the name of a transition and its values.
Whoever writes a file holds a lock on it (flock), which the kernel releases with the process. So an
end is written into the database by its own process while that lives, and afterwards by the main
process of any worker on this host (`write_spooled.py`).
"""

import contextlib
import fcntl
import json
import logging
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

from offload.conf import conf

logger = logging.getLogger("offload.jobs")


@dataclass(frozen=True)
class SpooledEnd:
    """How an attempt has ended.

    Args:
        job_id: the job.
        token: the fencing token of the attempt.
        transition: a function of `transitions.py`, such as `succeed`.
        values: what `kept_end.KeptEnd` makes of it, as JSON data.
    """

    job_id: str
    token: int
    transition: str
    values: dict[str, Any] = field(default_factory=dict)


class SpoolFile:
    """One file, locked by this process until `delete` or `release`."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor

    def read(self) -> SpooledEnd:
        """What the file holds.

        Raises:
            ValueError, TypeError: the file holds something else.
        """
        return SpooledEnd(**json.loads(self._path.read_bytes()))

    def delete(self) -> None:
        """Delete the file: the database has taken the end, or nobody needs it any more."""
        self._path.unlink(missing_ok=True)
        self.release()

    def release(self) -> None:
        """Leave the file to the main process of a worker."""
        os.close(self._descriptor)


class Spool:
    """The folder.

    Args:
        folder: is made where it is missing. Only the service's own user may read it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def check(self) -> None:
        """Log an error at a worker's start if the folder cannot be written."""
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            writable = os.access(self._folder, os.W_OK | os.X_OK)
        except OSError:
            writable = False
        if not writable:
            logger.error(
                "the folder %s cannot be written: a worker that ends during an outage of the "
                "database loses the results that it holds. Set SPOOL_FOLDER to a folder on a disk",
                self._folder,
            )

    def holds(self, job_id: UUID, token: int) -> bool:
        """Whether the end of this attempt is in the spool."""
        return self._path(str(job_id), token).exists()

    def discard(self, job_id: UUID, token: int) -> None:
        """Delete the end of an attempt that is to be lost. Its process may hold it."""
        try:
            self._path(str(job_id), token).unlink(missing_ok=True)
        except OSError as error:
            logger.warning("job %s: its end in the spool cannot be deleted: %s", job_id, error)

    def keep(self, end: SpooledEnd) -> SpoolFile | None:
        """Write a file. After this the end outlives the process and the machine's restart.

        Returns:
            The file; None where the spool is full or cannot be written, which is logged.
        """
        document = json.dumps(asdict(end)).encode()
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if self._bytes() + len(document) > conf().spool_limit:
                logger.error("job %s: the spool %s is full", end.job_id, self._folder)
                return None
            return self._write(self._path(end.job_id, end.token), document)
        except OSError as error:
            logger.error("job %s: the spool %s takes no file: %s", end.job_id, self._folder, error)
            return None

    def unowned(self) -> Iterator[SpoolFile]:
        """The files whose processes are gone, locked: oldest first, and large ones last.

        File storage is to take the result in a large one, and may hang. Files that are too old, or
        were left half written, are deleted.
        """
        for path in sorted(self._folder.glob("*.json*"), key=_turn):
            file = _lock(path)
            if file is None:
                continue
            if _age(path) > conf().spool_lifetime:
                logger.error("%s is too old, and is deleted: its job was started again", path)
                file.delete()
            elif path.suffix == ".new":
                file.delete()
            else:
                yield file

    def _path(self, job_id: str, token: int) -> Path:
        return self._folder / f"{job_id}-{token}.json"

    def _bytes(self) -> int:
        return sum(_size(path) for path in self._folder.glob("*.json*"))

    def _write(self, path: Path, document: bytes) -> SpoolFile:
        """A reader sees the whole file or none, also after a crash of the machine."""
        new = path.with_suffix(".json.new")
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            with open(descriptor, "wb", closefd=False) as file:
                file.write(document)
                file.flush()
                os.fsync(descriptor)
            new.rename(path)
            _sync_folder(self._folder)
        except BaseException:
            # A disk that is full has room for the next end.
            new.unlink(missing_ok=True)
            os.close(descriptor)
            raise
        return SpoolFile(path, descriptor)


def _lock(path: Path) -> SpoolFile | None:
    """The file, locked; None where a living process holds it, or it has been deleted."""
    with contextlib.suppress(FileNotFoundError):
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Its holder may have deleted it before the lock was free.
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                return SpoolFile(path, descriptor)
        except (BlockingIOError, FileNotFoundError):
            pass
        os.close(descriptor)
    return None


def _size(path: Path) -> int:
    """Bytes of a file; 0 where its process has deleted it meanwhile."""
    with contextlib.suppress(FileNotFoundError):
        return path.stat().st_size
    return 0


def _age(path: Path) -> float:
    """Seconds since a file was written; 0 where it is gone."""
    with contextlib.suppress(FileNotFoundError):
        return time.time() - path.stat().st_mtime
    return 0.0


def _turn(path: Path) -> tuple[bool, float]:
    return _size(path) > conf().result_limit, -_age(path)


def _sync_folder(folder: Path) -> None:
    """Have the folder's entries on the disk (man 2 fsync)."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

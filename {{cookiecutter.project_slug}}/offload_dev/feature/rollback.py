"""Takes back what was written of a feature that could not be laid out to its end."""

import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def taken_back_on_failure(folder: Path, files: Iterable[Path]) -> Iterator[None]:
    """Whatever is raised inside, the files have their former texts, and new ones are gone.

    Args:
        folder: the feature's own. It is deleted, with all in it, if it was not there before.
        files: those that may be written inside; they need not exist.
    """
    is_new = not folder.exists()
    before = {path: path.read_bytes() if path.exists() else None for path in files}
    try:
        yield
    except BaseException:
        for path, content in before.items():
            if content is None:
                path.unlink(missing_ok=True)
            else:
                path.write_bytes(content)
        if is_new:
            shutil.rmtree(folder, ignore_errors=True)
        raise

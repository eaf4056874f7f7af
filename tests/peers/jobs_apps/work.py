"""What every job does."""

import time
from pathlib import Path


def note(path: str, seconds: float = 0.0) -> None:
    """Append one byte to a file, by which the jobs are counted; then wait."""
    with Path(path).open("ab") as file:
        file.write(b".")
    time.sleep(seconds)

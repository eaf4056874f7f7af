"""Finds the files of a service, without its tests and what is not its own."""

import os
from collections.abc import Callable, Iterator
from enum import Enum, auto
from pathlib import Path

TEST_FILES = {"conftest.py", "test.py", "tests.py", "pytest_plugin.py"}
# Directories that are not part of the service, or that hold tests and migrations.
SKIPPED_DIRECTORIES = {
    "tests",
    "test",
    "testing",
    "stress_tests",
    "benchmarks",
    "bench",
    "scripts",
    "example",
    "examples",
    "sample",
    "samples",
    "ideas",
    "migrations",
    "node_modules",
    "site-packages",
    "__pycache__",
    "build",
    "dist",
    # The standard's own tools, two fifths of its code: no service runs them, and the template's
    # tests grade them.
    "offload_dev",
}

# A folder with one of these is an environment of venv, virtualenv or conda.
ENVIRONMENTS = ("pyvenv.cfg", "conda-meta")


class Kind(Enum):
    """What a name in a folder stands for."""

    FOLDER = auto()
    FILE = auto()
    OTHER = auto()


def source_files(root: Path, onerror: Callable[[OSError], None]) -> Iterator[Path]:
    """The files to read: all but tests, migrations and what is not the service's own.

    Each folder is read once, also if links lead to it on several ways or in a circle.

    Args:
        root: a folder, or one file.
        onerror: gets the error of each folder that cannot be listed, as in `os.walk`.
    """
    if root.is_file():
        yield root
        return

    folders, links = [root], list[Path]()
    seen: set[Path] = set()
    while folders or links:
        # Links come last, so that a folder has its own name if it has one below the root.
        folder = folders.pop() if folders else links.pop(0)
        real = folder.resolve()
        entries = [] if real in seen else _listed(folder, onerror)
        seen.add(real)
        if folder != root and any(entry.name in ENVIRONMENTS for entry in entries):
            continue
        for entry in entries:
            kind, path = _kind(entry), Path(entry.path)
            if kind is Kind.FOLDER and not _is_skipped(path):
                (links if entry.is_symlink() else folders).append(path)
            elif kind is Kind.FILE and path.suffix == ".py" and not _is_test(path):
                yield path


def text_of(path: Path, max_bytes: int | None = None) -> str:
    """The text of a file that only helps to understand the source.

    It is empty if the file cannot be read, or is larger.
    """
    try:
        is_small = path.is_file() and (max_bytes is None or path.stat().st_size < max_bytes)
        return path.read_text(encoding="utf-8", errors="replace") if is_small else ""
    except OSError:
        return ""


def is_there(path: Path) -> bool:
    """Whether there is a file; no if its folder may not be searched, where `exists` raises."""
    try:
        return path.exists()
    except OSError:
        return False


def _listed(folder: Path, onerror: Callable[[OSError], None]) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        onerror(error)
        return []


def _kind(entry: os.DirEntry[str]) -> Kind:
    """What a name stands for, through links.

    An editor's lock is a link to nothing, and to read a pipe would never end.
    """
    try:
        if entry.is_dir():
            return Kind.FOLDER
        return Kind.FILE if entry.is_file() else Kind.OTHER
    except OSError:
        # A link into a folder that may not be searched.
        return Kind.OTHER


def _is_skipped(folder: Path) -> bool:
    return folder.name in SKIPPED_DIRECTORIES or folder.name.startswith(".")


def _is_test(path: Path) -> bool:
    name = path.name
    return name.startswith("test_") or name.endswith("_test.py") or name in TEST_FILES

"""Finds the files of a service, without its tests and what is not its own."""

from collections.abc import Iterator
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


def source_files(root: Path) -> Iterator[Path]:
    """The files to read: all but tests, migrations and what is not the service's own."""
    if root.is_file():
        yield root
        return
    for path in root.iterdir():
        if path.is_dir():
            is_hidden = path.name.startswith(".")
            is_environment = (path / "pyvenv.cfg").exists()
            if path.name not in SKIPPED_DIRECTORIES and not is_hidden and not is_environment:
                yield from source_files(path)
        elif path.suffix == ".py" and not _is_test(path):
            yield path


def _is_test(path: Path) -> bool:
    name = path.name
    return name.startswith("test_") or name.endswith("_test.py") or name in TEST_FILES

"""Finds the files that start a service: for Docker, a Procfile, a shell and the like."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from offload_dev.lint.source.source_files import text_of

STARTS = re.compile(
    r"^(Procfile|Dockerfile.*|.*\.Dockerfile|(docker-)?compose.*\.ya?ml|.*\.(sh|service)|Makefile"
    r"|supervisord?.*\.conf|fly\.toml|render\.ya?ml|railway\.(json|toml)|gunicorn.*\.py)$"
)
# Files deeper in the tree seldom start the service.
MAX_DEPTH = 3
MAX_BYTES = 100_000
SKIPPED = {"node_modules", "site-packages", "__pycache__", ".git", ".venv", "venv"}


def start_files(root: Path) -> Iterator[str]:
    """The texts of the files that start a project."""
    if not root.is_dir():
        return
    for folder, folders, files in os.walk(root):
        depth = len(Path(folder).relative_to(root).parts)
        folders[:] = sorted(set(folders) - SKIPPED) if depth < MAX_DEPTH else []
        for name in files:
            if STARTS.match(name) and (text := text_of(Path(folder, name), MAX_BYTES)):
                yield text

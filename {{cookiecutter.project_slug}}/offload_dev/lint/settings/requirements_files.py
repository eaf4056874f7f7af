"""Which version of a package a project requires, as far as its files say."""

import re
from pathlib import Path

from offload_dev.lint.source.source_files import text_of

FILES = (
    "*requirements*.txt", "requirements/*.txt", "pyproject.toml", "Pipfile", "Pipfile.lock",
    "poetry.lock", "uv.lock", "pdm.lock",
)  # fmt: skip
# `redis==5.0.1`, `"redis[hiredis]<6"`, `redis = "^5.0"`, and the two lines of a lock file.
VERSION = (
    r"""(?im)(?:^|["'])\s*{name}(?:\[[^\]]*\])?["']?\s*"""
    r"""(?:=\s*["']|:\s*{{[^}}]*?"version":\s*["'])?"""
    r"""\s*(?:>=?[\d.\s]+,\s*)?(==|~=|<=|<|\^|~)\s*(\d+)|name = "{name}"\s*version = "()(\d+)"""
)


def requires_below(root: Path, package: str, major: int) -> bool:
    """Whether a project takes an older version of a package; also if no file names packages."""
    return _majors(root, package) is None or names_below(root, package, major)


def names_below(root: Path, package: str, major: int) -> bool:
    """Whether the files of a project name an older version of a package, and no newer one."""
    found = _majors(root, package)
    return bool(found) and all(each < major for each in found or ())


def names_from(root: Path, package: str, major: int) -> bool:
    """Whether the files of a project name this version of a package or newer ones alone."""
    found = _majors(root, package)
    return bool(found) and all(each >= major for each in found or ())


def _majors(root: Path, package: str) -> list[int] | None:
    """The newest versions of a package that the files allow; None if there are no such files."""
    texts = requirements(root)
    pattern = re.compile(VERSION.format(name=re.escape(package)))
    found = [
        int(number or locked) - (sign == "<")
        for text in texts
        for sign, number, _, locked in pattern.findall(text)
    ]
    return found if texts else None


def requirements(root: Path) -> list[str]:
    """The texts of the files that name packages, in the root and the folders in it."""
    if not root.is_dir():
        return []
    folders = (root, *(each for each in sorted(root.iterdir()) if each.is_dir()))
    paths = [path for folder in folders for name in FILES for path in folder.glob(name)]
    return [text_of(path) for path in paths]

"""Which version of a package a project requires, as far as its files say."""

import re
from pathlib import Path

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
    """Whether a project takes an older version of a package; also if no file names any package."""
    folders = (root, *(each for each in sorted(root.iterdir()) if each.is_dir()))
    paths = [path for folder in folders for name in FILES for path in folder.glob(name)]
    pattern = re.compile(VERSION.format(name=re.escape(package)))
    found = [
        int(number or locked) - (sign == "<")
        for path in paths
        for sign, number, _, locked in pattern.findall(path.read_text(errors="replace"))
    ]
    return all(each < major for each in found) if found else not paths

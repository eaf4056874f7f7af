"""The pages of the generated project's `docs/`, read as a reader follows them.

A block of Python that names a file in its first line, as in `python PACKAGE/weather/api.py`, is the
whole new file. With `after=` a line, the block is put below that line of the file. PACKAGE is the
service's own package. A block `sh` is typed as it is, and a block `text` after it is what it
prints, without the figures.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from .conftest import ROOT

PROJECT = ROOT / "{{cookiecutter.project_slug}}"
DOCS = PROJECT / "docs"
BLOCK = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


class Block(NamedTuple):
    """A block of code: its language, the rest of its first line, and its text."""

    language: str
    rest: str
    text: str


def blocks(page: str) -> list[Block]:
    """The blocks of a page of `docs/`, in their order."""
    found = []
    for info, text in BLOCK.findall((DOCS / page).read_text()):
        language, _, rest = info.partition(" ")
        found.append(Block(language, rest, text))
    return found


def commands(page: str) -> Iterator[tuple[str, str | None]]:
    """Each command that is typed, with what it prints, or None where the page does not say."""
    found = blocks(page)
    for block, following in zip(found, [*found[1:], Block("", "", "")], strict=True):
        if block.language == "sh":
            yield block.text.strip(), following.text if following.language == "text" else None


def follow(page: str, project: Path, package: str) -> list[Path]:
    """Write the files that a page shows into the project; returns them."""
    written = []
    for block in blocks(page):
        if not block.rest:
            continue
        name, _, anchor = block.rest.replace("PACKAGE", package).partition(" after=")
        path = project / name
        text = block.text.replace("PACKAGE", package)
        if anchor:
            there = path.read_text()
            assert there.count(f"{anchor}\n") == 1, f"{path} has not one line {anchor!r}"
            text = there.replace(f"{anchor}\n", f"{anchor}\n{text}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        written.append(path)
    return written

"""Reads mistakes and their mends, which `mends/` writes as differences."""

import re
from dataclasses import dataclass
from pathlib import Path

from differences import FILE, half_of, lay_out
from example_shop import MODELS

MENDS = Path(__file__).parent / "mends"
CASE = re.compile(
    r"^## (?P<name>\S+)\n- Expect: (?P<expect>OFF\d+)\n(?P<files>.*?)(?=^## |\Z)",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Mend:
    """A mistake and its mend.

    Args:
        kind: the file that describes it.
        expect: the number of the mistake.
        files: the differences, by file. A line with `-` is only in the mistake, one with `+` only
            in the mend.
    """

    kind: str
    name: str
    expect: str
    files: dict[str, str]

    def lay_out(self, half: str, folder: Path) -> Path:
        """Write one half, `wrong` or `right`, as a package in a folder; returns the folder."""
        return lay_out({"models.py": MODELS} | half_of(self.files, half), folder)


def read(path: Path) -> list[Mend]:
    """All mistakes of a file."""
    return [
        Mend(path.stem, found["name"], found["expect"], dict(FILE.findall(found["files"])))
        for found in CASE.finditer(path.read_text())
    ]


ALL = [mend for path in sorted(MENDS.glob("*.md")) for mend in read(path)]

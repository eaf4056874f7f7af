"""Reads mistakes and their mends, which `mends/` writes as differences."""

import re
from dataclasses import dataclass
from pathlib import Path

from example_shop import MODELS

MENDS = Path(__file__).parent / "mends"
CASE = re.compile(
    r"^## (?P<name>\S+)\n- Expect: (?P<expect>OFF\d+)\n(?P<files>.*?)(?=^## |\Z)",
    re.MULTILINE | re.DOTALL,
)
FILE = re.compile(r"^```diff (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


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


def lay_out(texts: dict[str, str], folder: Path) -> Path:
    """Write texts, by their paths, as a package in a folder; returns the folder."""
    for name, text in ({"__init__.py": ""} | texts).items():
        path = folder / "shop" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def half_of(files: dict[str, str], half: str) -> dict[str, str]:
    """The texts of one half, `wrong` or `right`, by their paths."""
    return {name: _half(text, half) for name, text in files.items()}


def _half(difference: str, half: str) -> str:
    left_out = "+" if half == "wrong" else "-"
    lines = (line for line in difference.splitlines() if not line.startswith(left_out))
    return "".join(f"{line[1:]}\n" for line in lines)


def read(path: Path) -> list[Mend]:
    """All mistakes of a file."""
    return [
        Mend(path.stem, found["name"], found["expect"], dict(FILE.findall(found["files"])))
        for found in CASE.finditer(path.read_text())
    ]


ALL = [mend for path in sorted(MENDS.glob("*.md")) for mend in read(path)]

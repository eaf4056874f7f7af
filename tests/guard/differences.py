"""Two halves of a case, a mistake and its mend, which a Markdown file writes as one difference.

A line with `-` is only in the mistake, one with `+` only in the mend.
"""

import re
from pathlib import Path

FILE = re.compile(r"^```diff (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


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

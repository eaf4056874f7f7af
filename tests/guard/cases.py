"""Reads the corpus, and lays its two halves out as two source trees of one service."""

import ast
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

CORPUS = Path(__file__).parent / "corpus"
FENCE = re.compile(r"^```python (wrong|right|both)/(\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
HEAD = re.compile(r"^- (\w+): (.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Case:
    """One mistake: its name (also its package's), its family, the number expected, and its files by
    half and name.
    """

    name: str
    family: str
    title: str
    expect: str
    run: str
    files: dict[tuple[str, str], str]

    def runs(self, half: str) -> bool:
        """Whether a test can call this half."""
        return self.run in ("both", half)

    def source(self, half: str) -> dict[str, str]:
        """The files of one half, by name."""
        return {name: text for (side, name), text in self.files.items() if side in (half, "both")}


def read(path: Path) -> Case:
    """One case from its Markdown."""
    text = path.read_text()
    head = dict(HEAD.findall(text))
    files = {(half, name): source for half, name, source in FENCE.findall(text)}
    title = text.partition("\n")[0].removeprefix("# ")
    return Case(path.stem, path.parent.name, title, head["Expect"], head["Run"], files)


CASES = [read(path) for path in sorted(CORPUS.glob("*/*.md"))]


def lay_out(half: str, root: Path) -> Path:
    """Write one half of every case under `root`, as packages of `shop`; returns `root`."""
    shutil.copytree(CORPUS / "shop", root / "shop", dirs_exist_ok=True)
    for case in CASES:
        package = root / "shop" / case.name
        package.mkdir()
        (package / "__init__.py").touch()
        for name, text in case.source(half).items():
            (package / name).write_text(text)
    named = sorted({name for path in root.rglob("*.py") for name in _names(path)})
    text = "".join(f"    {name!r},\n" for name in named)
    # The linter says nothing of what a service does not use. What a case defines is used.
    (root / "shop" / "apps.py").write_text(f"USED = [\n{text}]\n")
    return root


def _names(path: Path) -> list[str]:
    """What a file defines, and its own name with that of its folder."""
    tree = ast.walk(ast.parse(path.read_text()))
    kinds = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    file = f"{path.parent.name}.{path.stem}"
    return [file, *(node.name for node in tree if isinstance(node, kinds))]

"""The page of each number: why it is wrong, a wrong and a right example."""

from importlib.resources import files
from pathlib import Path

# In one file (`make lint-zipapp`) the pages lie beside the linter, since another repository has no
# docs/guard.
PACKED = files("offload_dev.lint").joinpath("pages")
DOCS = Path(__file__).parents[3] / "docs" / "guard"


def read(number: str) -> str | None:
    """The text of a number's page; None if there is no such number."""
    name = f"{number.upper()}.md"
    if not number.isalnum():
        return None
    if PACKED.joinpath(name).is_file():
        return PACKED.joinpath(name).read_text(encoding="utf-8")
    page = DOCS / name
    return page.read_text(encoding="utf-8") if page.is_file() else None


def reference(number: str) -> str:
    """Where a reader finds the page of a number: as a file, or by a command."""
    return f"--explain {number}" if PACKED.is_dir() else f"docs/guard/{number}.md"

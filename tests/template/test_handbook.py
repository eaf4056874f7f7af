"""Every example of the handbook prints what its page says, and each link leads to a file."""

import re
from pathlib import Path

import pytest

from .conftest import BIN, ROOT, bake, run

PROJECT = ROOT / "{{cookiecutter.project_slug}}"
PAGES = sorted(
    page.stem
    for page in (PROJECT / "docs/when-async-helps").glob("*.md")
    if "```python" in page.read_text()
)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("handbook")
    assert bake(folder, example="no").returncode == 0
    return folder / "risk_desk"


def without_figures(text: str) -> str:
    """Figures differ from machine to machine, sentences don't."""
    return re.sub(r" *-?\d[\d,.]*", " #", text).strip()


def lines_named(text: str) -> list[str]:
    """The lines of the page that its output names, such as `debugging.md:63`."""
    return re.findall(r"\.md:\d+|\.md\", line \d+", text)


@pytest.mark.parametrize("page", PAGES)
def test_the_example_prints_what_its_page_says(project: Path, page: str) -> None:
    said = re.findall(
        r"```text\n(.*?)```", (project / f"docs/when-async-helps/{page}.md").read_text(), re.DOTALL
    )
    ran = run(BIN / "python", "-W", "error", "docs/when-async-helps/run.py", page, cwd=project)
    assert ran.returncode == 0, ran.stdout
    assert without_figures(ran.stdout) == without_figures("".join(said))
    assert lines_named(ran.stdout) == lines_named("".join(said))


def test_every_link_of_the_docs_leads_somewhere() -> None:
    pages = [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        PROJECT / "README.md",
        *(PROJECT / "docs").rglob("*.md"),
    ]
    assert len(pages) > 60
    broken = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in pages
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text())
        if "://" not in target and not (page.parent / target).exists()
    ]
    assert broken == []

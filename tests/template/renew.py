"""Renews what the generated project's own code writes: `make renew`.

These are docs/openapi.json, after a change of the API, and the pages for assistants, after a change
of the linter or the Makefile. A hook cannot make them, since no library is there when a project is
generated. So they lie in the template, the document once with the example and once without. Each
generated project tests that they are current.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

from .conftest import ROOT, SHARED, bake, run

# Answers that stand nowhere else in the document.
ANSWERS = {"project_name": "Name of the service", "description": "What the service does."}
TARGET = ROOT / "{{cookiecutter.project_slug}}"
PAGES = ("AGENTS.md", ".agents/skills/write-a-feature/SKILL.md")


def write(folder: Path, example: str) -> tuple[str, dict[str, str]]:
    """The document of a generated project, with Jinja in place of the answers, and its pages for
    assistants.
    """
    made = bake(folder, project_slug=f"example_{example}", example=example, **ANSWERS)
    assert made.returncode == 0, made.stdout
    project = folder / f"example_{example}"
    written = run("make", "openapi", "agents", *SHARED, cwd=project)
    assert written.returncode == 0, written.stdout

    document = (project / "docs" / "openapi.json").read_text(encoding="utf-8").strip()
    pages = {name: (project / name).read_text(encoding="utf-8") for name in PAGES}
    texts = "".join([document, *pages.values()])
    assert not any(mark in texts for mark in ("{{", "{%", "{#"))
    for name, answer in ANSWERS.items():
        assert document.count(answer) == 1
        document = document.replace(answer, f"{{{{ cookiecutter.{name} }}}}")
    return document, pages


def main() -> None:
    """Write them into the template."""
    with TemporaryDirectory() as folder:
        (with_example, pages), (without, _) = (write(Path(folder), each) for each in ("yes", "no"))
    either, otherwise, end = (
        '{%- if cookiecutter.example == "yes" -%}',
        "{%- else -%}",
        "{%- endif %}",
    )
    text = "\n".join([either, with_example, otherwise, without, end, ""])
    (TARGET / "docs" / "openapi.json").write_text(text, encoding="utf-8")
    for name, page in pages.items():
        (TARGET / name).write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()

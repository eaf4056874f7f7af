"""Renews what the generated project's own code writes: `make renew`.

These are docs/openapi.json, after a change of the API; the pages for assistants, after a change of
the linter or the Makefile; and the tables of the metrics and of the environment. A hook cannot make
most of them, since no library is there when a project is generated. So they lie in the template,
the document once with the example and once without. Tests say which of them is not current.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

from .conftest import ROOT, SHARED, bake, run

# Answers that stand nowhere else in the document.
ANSWERS = {"project_name": "Name of the service", "description": "What the service does."}
TARGET = ROOT / "{{cookiecutter.project_slug}}"
PAGES = (
    "AGENTS.md",
    ".agents/skills/write-a-feature/SKILL.md",
    "docs/reference/metrics.md",
    "docs/reference/environment.md",
)


def write(folder: Path, example: str) -> tuple[str, dict[str, str]]:
    """The document of a generated project, with Jinja in place of the answers, and its pages."""
    made = bake(folder, project_slug=f"example_{example}", example=example, **ANSWERS)
    assert made.returncode == 0, made.stdout
    project = folder / f"example_{example}"
    # The hook has written the page of the environment.
    for command in (
        ("make", "openapi", "agents", *SHARED),
        ("python", "-m", "offload_dev.metrics_page"),
    ):
        written = run(*command, cwd=project)
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

"""Renews what the generated project's own code writes: `make renew`.

These are docs/openapi.json, after a change of the API, and AGENTS.md, after a change of the linter
or the Makefile. A hook cannot make them, since no library is there when a project is generated. So
they lie in the template, the document once with the example and once without. Each generated
project tests that they are current.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

from .conftest import ROOT, bake, run

# Answers that stand nowhere else in the document.
ANSWERS = {"project_name": "Name of the service", "description": "What the service does."}
TARGET = ROOT / "{{cookiecutter.project_slug}}"


def write(folder: Path, example: str) -> tuple[str, str]:
    """The document and AGENTS.md of a generated project, with Jinja in place of the answers."""
    made = bake(folder, project_slug=f"example_{example}", example=example, **ANSWERS)
    assert made.returncode == 0, made.stdout
    project = folder / f"example_{example}"
    written = run("make", "openapi", "agents", "READY=manage.py", cwd=project)
    assert written.returncode == 0, written.stdout

    document = (project / "docs" / "openapi.json").read_text(encoding="utf-8").strip()
    page = (project / "AGENTS.md").read_text(encoding="utf-8")
    assert not any(mark in document + page for mark in ("{{", "{%", "{#"))
    for name, answer in ANSWERS.items():
        assert document.count(answer) == 1
        document = document.replace(answer, f"{{{{ cookiecutter.{name} }}}}")
    return document, page


def main() -> None:
    """Write both files into the template."""
    with TemporaryDirectory() as folder:
        (with_example, page), (without, _) = (write(Path(folder), each) for each in ("yes", "no"))
    either, otherwise, end = (
        '{%- if cookiecutter.example == "yes" -%}',
        "{%- else -%}",
        "{%- endif %}",
    )
    text = "\n".join([either, with_example, otherwise, without, end, ""])
    (TARGET / "docs" / "openapi.json").write_text(text, encoding="utf-8")
    (TARGET / "AGENTS.md").write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()

"""Writes the generated project's docs/openapi.json: `make openapi`, after a change of the API.

A hook cannot make it, since no library is there when a project is generated. So it lies in the
template, once with the example and once without. Each generated project tests that it is current.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

from .conftest import ROOT, bake, run

# Answers that stand nowhere else in the document.
ANSWERS = {"project_name": "Name of the service", "description": "What the service does."}
TARGET = ROOT / "{{cookiecutter.project_slug}}" / "docs" / "openapi.json"


def document(example: str) -> str:
    """The document of a generated project, with Jinja in place of the answers."""
    with TemporaryDirectory() as folder:
        made = bake(Path(folder), project_slug="service", example=example, **ANSWERS)
        assert made.returncode == 0, made.stdout
        project = Path(folder) / "service"
        written = run("make", "openapi", "READY=manage.py", cwd=project)
        assert written.returncode == 0, written.stdout
        text = (project / "docs" / "openapi.json").read_text(encoding="utf-8").strip()

    assert not any(mark in text for mark in ("{{", "{%", "{#"))
    for name, answer in ANSWERS.items():
        assert text.count(answer) == 1
        text = text.replace(answer, f"{{{{ cookiecutter.{name} }}}}")
    return text


def main() -> None:
    """Both documents in one file of the template."""
    either, otherwise, end = (
        '{%- if cookiecutter.example == "yes" -%}',
        "{%- else -%}",
        "{%- endif %}",
    )
    text = "\n".join([either, document("yes"), otherwise, document("no"), end, ""])
    TARGET.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

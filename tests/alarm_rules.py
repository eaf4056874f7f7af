"""The rules of deploy/monitoring/alarms.yml, as a service with this name gets them."""

from pathlib import Path

from jinja2 import Template

RULES = Path(__file__).parents[1] / "{{cookiecutter.project_slug}}/deploy/monitoring/alarms.yml"


def rules_of(slug: str) -> str:
    """The text of the file. Its jobs begin with the slug, with `-` for `_`."""
    return Template(RULES.read_text()).render(cookiecutter={"project_slug": slug})

"""Refuses answers that would break the project, before any file is written."""

import keyword
import re
import sys

ANSWERS = {
    "project_name": {{ cookiecutter.project_name | pprint }},
    "project_slug": {{ cookiecutter.project_slug | pprint }},
    "package": {{ cookiecutter.package | pprint }},
    "description": {{ cookiecutter.description | pprint }},
    "author": {{ cookiecutter.author | pprint }},
}

# Folders of the project and libraries it imports: a package of the same name would hide them.
TAKEN = (
    "aiohttp asgiref benchmarks celery channels config django docs flower hooks httpx kombu manage ninja "
    "offload offload_dev prometheus_client psycopg pydantic redis requirements sandbox servestatic "
    "stamina structlog test tests uvicorn uvloop var websockets"
).split()


def fault(name, value):
    """What is wrong with an answer, or None."""
    if name in ("project_slug", "package"):
        if not re.fullmatch(r"[a-z][a-z0-9_]*", value):
            return (
                "use lower-case letters, digits and underscores, and begin with a letter,"
                " such as risk_desk"
            )
        if keyword.iskeyword(value) or keyword.issoftkeyword(value):
            return "it is a word of Python's own; choose another name, such as risk_desk"
        if name == "package" and (value in TAKEN or value in sys.stdlib_module_names):
            return "it would hide a module of that name; choose another name, such as risk_desk"
    elif not value.strip():
        return "it must not be empty, such as Risk Desk"
    elif re.search(r'["\\\x00-\x1f\x7f]', value):
        return "leave out double quotes, backslashes and line breaks, such as: Ada's Risk Desk"
    return None


faults = [
    f"  {name} = {value!r}: {fault(name, value)}"
    for name, value in ANSWERS.items()
    if fault(name, value)
]
if faults:
    sys.exit("These answers can't be used:\n" + "\n".join(faults))

"""What makes a name unfit for a feature."""

import ast
import keyword
import re
from collections.abc import Iterator

from django.conf import global_settings

from offload_dev.feature.registration import ENVIRONMENT, SETTINGS, URLS

# Labels of apps that this service has already; Django refuses a second one.
TAKEN_LABELS = (
    "access",
    "admin",
    "auth",
    "contenttypes",
    "guard",
    "jobs",
    "messages",
    "ninja",
    "offload_dev",
    "servestatic",
    "sessions",
    "staticfiles",
)


def fault_of(name: str) -> str | None:
    """What is wrong with a feature's name; None if nothing is."""
    if not re.fullmatch(r"[a-z][a-z0-9_]{,29}", name):
        return "use at most 30 lower-case letters, digits and underscores; begin with a letter"
    if keyword.iskeyword(name):
        return "it is a word of Python's own"
    if name in TAKEN_LABELS:
        return "an app of this service has that label already"
    return _fault_of_registration(name)


def _fault_of_registration(name: str) -> str | None:
    """Which of the names that `registration.py` writes is there already; None if none is."""
    setting = f"{name.upper()}_URL"
    if setting.lower() in _names(ENVIRONMENT.read_text(encoding="utf-8")):
        return f"{ENVIRONMENT} has a variable {setting} already"
    if hasattr(global_settings, setting):
        return f"{setting} is a setting of Django's own"
    if setting in _names(SETTINGS.read_text(encoding="utf-8")):
        return f"{SETTINGS} has {setting} already"
    if name in _names(URLS.read_text(encoding="utf-8")):
        return f"{URLS} uses this name already"
    return None


def _names(text: str) -> set[str]:
    """The names that a file gives, in its module and in its classes."""
    tree = ast.parse(text)
    classes = [node.body for node in tree.body if isinstance(node, ast.ClassDef)]
    return {name for body in (tree.body, *classes) for node in body for name in _names_of(node)}


def _names_of(node: ast.stmt) -> Iterator[str]:
    if isinstance(node, ast.Import | ast.ImportFrom):
        for alias in node.names:
            yield alias.asname or alias.name.partition(".")[0]
    elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield node.name
    elif isinstance(node, ast.AnnAssign | ast.Assign):
        targets = [node.target] if isinstance(node, ast.AnnAssign) else node.targets
        yield from (target.id for target in targets if isinstance(target, ast.Name))

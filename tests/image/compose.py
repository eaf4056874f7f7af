"""compose.yaml as Compose reads it."""

import re
from pathlib import Path
from typing import Any

import yaml

# `${NAME:?why it is needed}` and `${NAME:-default}`.
VARIABLE = re.compile(r"\$\{(\w+):([?-])([^}]*)\}")


def needed_variables(project: Path) -> set[str]:
    """The variables without which Compose refuses the file."""
    found = VARIABLE.findall((project / "compose.yaml").read_text())
    return {name for name, kind, _ in found if kind == "?"}


def read_services(project: Path, variables: dict[str, str]) -> dict[str, Any]:
    """The services of compose.yaml, with these variables filled in."""
    text = (project / "compose.yaml").read_text()
    filled = VARIABLE.sub(lambda match: variables.get(match[1], match[3]), text)
    services: dict[str, Any] = yaml.safe_load(filled.replace("$$", "$"))["services"]
    return services

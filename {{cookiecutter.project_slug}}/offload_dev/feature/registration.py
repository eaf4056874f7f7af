"""Registers a new feature: its app, its routes, and the address of its upstream."""

import ast
import sys
from pathlib import Path

SETTINGS = Path("config", "settings.py")
URLS = Path("config", "urls.py")
ENVIRONMENT = Path("config", "env.py")
EXAMPLE = Path(".env.example")


def edits_of(package: str, name: str) -> dict[Path, str]:
    """Each file to change, relative to the project, and its new text.

    Raises:
        SystemExit: a file has lost the place where the feature has to be registered.
    """
    return {
        SETTINGS: _with_app(SETTINGS.read_text(encoding="utf-8"), package, name),
        URLS: _with_routes(URLS.read_text(encoding="utf-8"), package, name),
        ENVIRONMENT: _with_variable(ENVIRONMENT.read_text(encoding="utf-8"), name),
        EXAMPLE: _with_example(EXAMPLE.read_text(encoding="utf-8"), name),
    }


def _with_app(text: str, package: str, name: str) -> str:
    apps = _assignment(text, "INSTALLED_APPS", SETTINGS)
    lines = text.splitlines()
    # The last line of the list is its bracket.
    lines.insert((apps.end_lineno or 0) - 1, f'    "{package}.{name}",')
    lines.append(f"{name.upper()}_URL = env.{name}_url")
    return "\n".join(lines) + "\n"


def _with_routes(text: str, package: str, name: str) -> str:
    imports = [
        node for node in ast.parse(text).body if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    own = [node for node in imports if _module(node).startswith(f"{package}.")]
    module = f"{package}.{name}.api"
    later = [node for node in own if _module(node) > module]
    urls = _assignment(text, "urlpatterns", URLS)

    lines = text.splitlines()
    lines[urls.lineno - 1 : urls.lineno - 1] = [f'api.add_router("/{name}", {name})', ""]
    if lines[urls.lineno - 2] == "" and lines[urls.lineno - 3].startswith("api.add_router"):
        # The routes of features stand together.
        del lines[urls.lineno - 2]

    line = f"from {module} import router as {name}"
    if later:
        lines.insert(later[0].lineno - 1, line)
    else:
        last = (imports[-1].end_lineno or 0) if imports else 0
        # A service's own imports are a section of their own.
        lines[last:last] = [line] if own else ["", line]
    return "\n".join(lines) + "\n"


def _with_variable(text: str, name: str) -> str:
    anchor = "    redis_url: str"
    field = (
        f"    {name}_url: str = Field(\n"
        f"        default_factory=lambda data: f\"http://127.0.0.1:{{data['sandbox_port']}}\"\n"
        f"    )\n"
        f'    """Where the upstreams of `{name}` are; by default the sandbox."""\n'
    )
    return _before(text, anchor, field, ENVIRONMENT)


def _with_example(text: str, name: str) -> str:
    anchor = "# The password of Flower's user"
    lines = (
        f"# Where the upstreams of `{name}` are. By default the sandbox.\n"
        f"# {name.upper()}_URL=http://127.0.0.1:8002\n\n"
    )
    return _before(text, anchor, lines, EXAMPLE)


def _before(text: str, anchor: str, new: str, path: Path) -> str:
    if text.count(anchor) != 1:
        sys.exit(f"{path} has no line that begins with {anchor.strip()!r}: nothing was written.")
    return text.replace(anchor, new + anchor)


def _assignment(text: str, name: str, path: Path) -> ast.stmt:
    """The statement at module level that assigns to this name."""
    for node in ast.parse(text).body:
        targets = node.targets if isinstance(node, ast.Assign) else []
        if isinstance(node, ast.AnnAssign):
            targets = [node.target]
        if any(isinstance(target, ast.Name) and target.id == name for target in targets):
            return node
    sys.exit(f"{path} does not assign {name}: nothing was written.")


def _module(node: ast.Import | ast.ImportFrom) -> str:
    return (node.module or "") if isinstance(node, ast.ImportFrom) else node.names[0].name

"""`python -m offload_dev.environment_page [--check]`: writes docs/reference/environment.md.

The page is made from the class `Env` in config/env.py. This runs on a bare Python, because the
template writes the page before anything is installed.
"""

import ast
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

SOURCE = Path("config/env.py")
PAGE = Path("docs/reference/environment.md")
HEAD = """\
# The environment

These are all variables that this service reads. `make environment` writes this page from
`config/env.py`, and a test compares them. A process that starts names all faults at once. An
unknown name in `.env` is such a fault, too. `.env.example` has the same names, to copy from.

| variable | default | what it is |
|---|---|---|
"""


def main() -> int:
    """Write the page, or compare it if the argument is `--check`; returns the exit status."""
    page = HEAD + "".join(_rows(SOURCE.read_text(encoding="utf-8")))
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(page, encoding="utf-8")
    elif PAGE.read_text(encoding="utf-8") != page:
        sys.exit(f"{PAGE} is not what {SOURCE} says: `make environment` writes it again.")
    return 0


def _rows(source: str) -> Iterator[str]:
    """The line of each variable.

    Raises:
        SystemExit: a variable has no docstring.
    """
    defaults: dict[str, Any] = {}
    for name, expression, text in _fields(source):
        default = _evaluate(expression)
        defaults[name] = default(defaults) if callable(default) else default
        if text is None:
            sys.exit(f"{SOURCE}: {name} has no docstring below it.")
        yield f"| `{name.upper()}` | {_as_text(defaults[name])} | {' '.join(text.split())} |\n"


def _fields(source: str) -> Iterator[tuple[str, ast.expr, str | None]]:
    """Each field of `Env`: its name, the expression of its default, and its docstring."""
    classes = [node for node in ast.parse(source).body if isinstance(node, ast.ClassDef)]
    body = next(node.body for node in classes if node.name == "Env")
    for field, following in pairwise(body):
        match field:
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as expression):
                match following:
                    case ast.Expr(value=ast.Constant(value=str(text))):
                        yield name, expression, text
                    case _:
                        yield name, expression, None


def _evaluate(expression: ast.expr) -> Any:
    """The default, or the function that makes it of earlier ones.

    pydantic's `Field` is replaced, so that pydantic need not be there.
    """
    names = {
        "Field": lambda default=None, default_factory=None, **_: default_factory or default,
        "LOOPBACK": ["127.0.0.1", "localhost", "[::1]"],
        "VAR_DIR": Path("var"),
    }
    # It is this service's own source.
    return eval(compile(ast.Expression(expression), SOURCE, "eval"), names)  # noqa: S307


def _as_text(default: object) -> str:
    """A default as one writes it into the environment."""
    if isinstance(default, bool):
        default = int(default)
    if isinstance(default, list):
        default = ",".join(default)
    return f"`{default}`" if default != "" else ""


if __name__ == "__main__":
    sys.exit(main())

"""What a rule's check yields: a line that breaks the rule."""

import ast
from pathlib import Path
from typing import NamedTuple

from offload_dev.lint.source.snippet import snippet
from offload_dev.lint.source.tree import CodeScope


class ChainStep(NamedTuple):
    """One step of a chain: a line, and the function or the import that stands there."""

    scope: CodeScope
    line: int
    what: str


class Violation(NamedTuple):
    """A line that breaks a rule.

    Args:
        line: counted from 1, in the function or module that was checked.
        subject: the words before the rule's message, mostly a piece of the source.
        likely: why the line may still be right, so that it is only a warning; empty if it is
            certain.
        instead: what to write instead of this line; empty if the rule's own sentence says it.
        needs: the parameters that must have a value if the line is to run, as `Function.guards` has
            them.
        near: whether it counts only on the way of a request; if it is only likely, then in the
            line's own function, and in a view that comes to it.
        computes: whether the line keeps a core busy, wherever it runs.
        in_view: whether that is short enough for a sync view, unless a loop repeats it.
        chain: the steps from the checked function to the cause; empty if the line is the cause.
        file: the file, if it is not the one of the function or module that was checked.
        rule: the rule's number; the registry fills it in.
    """

    line: int
    subject: str = ""
    likely: str = ""
    instead: str = ""
    computes: bool = False
    needs: tuple[str, ...] = ()
    near: bool = False
    in_view: bool = False
    chain: tuple[ChainStep, ...] = ()
    file: Path | None = None
    rule: str = ""


def violation(
    node: ast.AST,
    subject: str = "",
    *,
    likely: str = "",
    instead: str = "",
    computes: bool = False,
) -> Violation:
    """A violation at a node's line. The subject is the node's own source if none is given."""
    line = int(getattr(node, "lineno", 1))
    return Violation(line, subject or snippet(node), likely, instead, computes)


def call_violation(
    call: ast.Call, *, likely: str = "", instead: str = "", computes: bool = False
) -> Violation:
    """A violation at a call. The subject is the name as it is called, such as `time.sleep()`."""
    subject = f"{snippet(call.func)}()"
    return violation(call, subject, likely=likely, instead=instead, computes=computes)

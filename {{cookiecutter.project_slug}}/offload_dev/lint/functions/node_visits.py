"""Finds the method by which a visitor visits a kind of node.

`ast.NodeVisitor` looks the method up for each node.
"""

import ast
from collections.abc import Callable
from typing import Any

from offload_dev.lint.source.nodes import FIELDS, SCOPES

Visit = Callable[[Any, Any], None]


class NodeVisits(dict[type[ast.AST], Visit]):
    """By the kind of a node: how it is visited. A kind is read when it is asked for.

    Nothing is visited of the scopes inside of a scope, and of nodes that have none below them.
    """

    def __init__(self, visitor: type[ast.NodeVisitor]) -> None:
        super().__init__()
        self._visitor = visitor

    def __missing__(self, kind: type[ast.AST]) -> Visit:
        named = getattr(self._visitor, f"visit_{kind.__name__}", self._visitor.generic_visit)
        self[kind] = visit = _leave_out if kind in SCOPES or not FIELDS[kind] else named
        return visit


def _leave_out(visitor: ast.NodeVisitor, node: ast.AST) -> None:
    """Visit nothing of a node."""

"""Finds the origin of an expression by its kind: of a name, an attribute, a call, an item."""

import ast
from collections.abc import Callable
from typing import Protocol

from offload_dev.lint.origins.call_results import CallResults
from offload_dev.lint.origins.containers import Containers, only
from offload_dev.lint.origins.conventions import Conventions
from offload_dev.lint.origins.local_types import Types
from offload_dev.lint.origins.models import Models
from offload_dev.lint.source.names import REQUEST
from offload_dev.lint.source.tree import CodeScope

CHANNELS_SESSION = "channels.sessions.session"

Find = Callable[..., str]


class Names(Protocol):
    """What `Expressions` asks the resolver.

    Attributes:
        pending: the expressions and functions that are being resolved.
    """

    containers: Containers
    conventions: Conventions
    models: Models
    pending: set[ast.AST]
    results: CallResults

    def annotation(self, node: ast.expr | None, scope: CodeScope) -> str:
        """The origin of the type that an annotation names."""

    def name(self, name: str, scope: CodeScope) -> str:
        """The origin of a name, as a scope sees it."""

    def follow(self, origin: str) -> str:
        """Go on from a name that a module or class only imports or assigns."""

    def request_of_view(self, scope: CodeScope) -> str:
        """The origin of a view's request."""


class Expressions:
    """Finds where expressions come from.

    An expression is asked for again and again, since those around it ask for it. So the local
    variables keep the answers until one of them changes.
    """

    def __init__(self, names: Names) -> None:
        self._names = names
        self._kinds: dict[type[ast.expr], Find] = {
            ast.Name: self._of_name,
            ast.Attribute: self._of_attribute,
            ast.Call: self._of_call,
            ast.Await: self._of_held,
            ast.NamedExpr: self._of_held,
            ast.Starred: self._of_held,
            ast.Subscript: self._of_item,
            ast.BinOp: self._of_operator,
            ast.BoolOp: self._of_any,
            ast.IfExp: self._of_branches,
        }

    def origin(self, node: ast.expr | None, scope: CodeScope, local: Types | None = None) -> str:
        """The origin of an expression in a scope.

        Args:
            local: the origins of the local variables that are known.
        """
        find = self._kinds.get(type(node))  # type: ignore[arg-type]
        if node is None or find is None:
            return ""
        if local is None:
            return find(node, scope, local)

        found = local.answers.get(node)
        if found is None:
            found = find(node, scope, local)
            # What refers to itself ends early, so the answer in the middle of it is another one.
            if not self._names.pending:
                local.answers[node] = found
        return found

    def _of_name(self, node: ast.Name, scope: CodeScope, local: Types | None) -> str:
        if local is not None and node.id in local:
            return local[node.id]
        return self._names.name(node.id, scope)

    def _of_attribute(self, node: ast.Attribute, scope: CodeScope, local: Types | None) -> str:
        value, name = node.value, node.attr
        if name == "request" and isinstance(value, ast.Name) and value.id == "self":
            return self._names.request_of_view(scope)
        if name in ("request", "context") and self._names.conventions.is_request(node, scope):
            return REQUEST
        base = self.origin(value, scope, local)
        return self._names.follow(f"{base}.{name}") if base else ""

    def _of_call(self, node: ast.Call, scope: CodeScope, local: Types | None) -> str:
        return self._names.results.of_call(node, scope, local)

    def _of_held(
        self, node: ast.Await | ast.NamedExpr | ast.Starred, scope: CodeScope, local: Types | None
    ) -> str:
        return self.origin(node.value, scope, local)

    def _of_item(self, node: ast.Subscript, scope: CodeScope, local: Types | None) -> str:
        """The origin of `rows[0]`, of `scope["user"]`, and of the type `QuerySet[Order]`."""
        if self._names.conventions.is_request(node, scope):
            return REQUEST
        element = self._names.containers.element
        known = self._of_channels(node, scope) or element(node.value, scope, local)
        if known:
            return known
        base = self.origin(node.value, scope, local)
        if base.endswith((".QuerySet", ".Manager")):
            return f"{self._names.annotation(node.slice, scope)}.objects"
        return base

    def _of_channels(self, node: ast.Subscript, scope: CodeScope) -> str:
        """The user and the session of Channels: `self.scope["user"]`."""
        match node:
            case ast.Subscript(
                value=ast.Attribute(attr="scope") | ast.Name(id="scope"),
                slice=ast.Constant(value="user" | "session" as name),
            ) if scope.module.uses(("channels.",)):
                return self._names.models.user if name == "user" else CHANNELS_SESSION
        return ""

    def _of_operator(self, node: ast.BinOp, scope: CodeScope, local: Types | None) -> str:
        """The origin of `first | second`; other operators give what is not known."""
        if not isinstance(node.op, ast.BitOr):
            return ""
        first = self.origin(node.left, scope, local)
        # The chain `prompt | model | parser` of LangChain does what its last part does.
        is_chain = first.startswith("langchain")
        return (self.origin(node.right, scope, local) if is_chain else "") or first

    def _of_any(self, node: ast.BoolOp, scope: CodeScope, local: Types | None) -> str:
        return only(self.origin(value, scope, local) for value in node.values)

    def _of_branches(self, node: ast.IfExp, scope: CodeScope, local: Types | None) -> str:
        return only(self.origin(value, scope, local) for value in (node.body, node.orelse))

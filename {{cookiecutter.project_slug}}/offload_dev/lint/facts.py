"""Walks one function once, and notes what its lines do: the calls, reads, loops and blocks that
rules then judge.
"""

import ast
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

from offload_dev.lint.names import among
from offload_dev.lint.origins import REQUEST, Origins
from offload_dev.lint.source import SCOPES, Scope, own_nodes


@dataclass(frozen=True)
class Call:
    """A call: where what is called comes from, and what becomes of the answer."""

    node: ast.Call
    origin: str
    # The origins of the positional ones.
    arguments: tuple[str, ...]
    awaited: bool
    # A statement by itself.
    dropped: bool
    # Inside a transaction.
    atomic: bool


class Loop(NamedTuple):
    """A loop over a `range`: its turns as far as they are written there, and the parameter that
    multiplies them.
    """

    node: ast.AST
    turns: int
    parameter: str


@dataclass
class Facts:
    """What the lines of one function do. Origins are as in `origins.py`."""

    scope: Scope
    takes_request: bool = False
    # What is an argument of some call.
    handed_on: set[str] = field(default_factory=set)
    by_node: dict[ast.expr, Call] = field(default_factory=dict)
    evaluated: list[tuple[ast.expr, str]] = field(default_factory=list)
    # Queries that `async for` runs.
    streamed: list[ast.expr] = field(default_factory=list)
    disguised: list[ast.expr] = field(default_factory=list)
    loops: list[Loop] = field(default_factory=list)
    blocks: list[tuple[ast.With | ast.AsyncWith, ast.expr, str]] = field(default_factory=list)
    handlers: list[ast.Try] = field(default_factory=list)

    @property
    def calls(self) -> Iterable[Call]:
        return self.by_node.values()


def awaits(nodes: Iterable[ast.AST]) -> bool:
    """Whether these lines, not those of functions inside them, give way to the loop."""
    for node in nodes:
        if isinstance(node, ast.Await | ast.AsyncFor | ast.AsyncWith) or (
            isinstance(node, ast.comprehension) and node.is_async
        ):
            return True
        if not isinstance(node, SCOPES) and awaits(ast.iter_child_nodes(node)):
            return True
    return False


class Walk(ast.NodeVisitor):
    """Collects the facts of one scope, following what its local variables hold, in the order of its
    lines.
    """

    def __init__(self, scope: Scope, origins: Origins) -> None:
        self.scope, self.origins, self.facts = scope, origins, Facts(scope)
        self.local: dict[str, str] = {}
        # Variables that hold a row whose relations were not fetched with it.
        self.rows: set[str] = set()
        self.awaited: set[ast.AST] = set()
        self.dropped: set[ast.AST] = set()
        self.turns, self.by, self.atomic = 1, "", False
        # Parameters that keep what the caller gave.
        self.given: set[str] = set()
        # Inside a handler that raises again at its end.
        self.raising = False
        if not isinstance(scope.node, ast.Module | ast.ClassDef):
            self._parameters(scope.node.args)
        for statement in scope.node.body:
            self.visit(statement)

    def origin(self, node: ast.expr | None) -> str:
        return self.origins.of(node, self.scope, self.local)

    def visit(self, node: ast.AST) -> None:
        if isinstance(node, SCOPES):
            # Facts of its own, or (a lambda) run by somebody else.
            return
        super().visit(node)

    def visit_Await(self, node: ast.Await) -> None:
        self.awaited.add(node.value)
        self.visit(node.value)

    def visit_Expr(self, node: ast.Expr) -> None:
        self.dropped.add(node.value)
        self.visit(node.value)

    def visit_Assign(self, node: ast.Assign) -> None:
        self.visit(node.value)
        for target in node.targets:
            self._bind(target, node.value)
            self.visit(target)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)
            self._bind(node.target, node.value)

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        self.visit(node.value)
        self._bind(node.target, node.value)

    def visit_For(self, node: ast.For) -> None:
        self._iterate(node.target, node.iter, walked_here=True)
        with self._turning(node, node.iter, node.body):
            for statement in [*node.body, *node.orelse]:
                self.visit(statement)

    def visit_AsyncFor(self, node: ast.AsyncFor) -> None:
        self._iterate(node.target, node.iter, walked_here=False)
        for statement in [*node.body, *node.orelse]:
            self.visit(statement)

    def visit_While(self, node: ast.While) -> None:
        self._truth(node.test)
        self.generic_visit(node)

    def visit_If(self, node: ast.If) -> None:
        self._truth(node.test)
        self.generic_visit(node)

    def _comprehension(
        self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp
    ) -> None:
        results = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
        for generator in node.generators:
            self._iterate(generator.target, generator.iter, walked_here=not generator.is_async)
        with self._turning(node, node.generators[0].iter, [node]):
            for part in [
                *(test for generator in node.generators for test in generator.ifs),
                *results,
            ]:
                self.visit(part)

    visit_ListComp = visit_SetComp = visit_GeneratorExp = visit_DictComp = _comprehension  # noqa: N815 - ast's names

    def visit_With(self, node: ast.With | ast.AsyncWith) -> None:
        outer = self.atomic
        for item in node.items:
            if isinstance(node, ast.AsyncWith):
                self.awaited.add(item.context_expr)
            self.visit(item.context_expr)
            origin = self.origin(item.context_expr)
            self.facts.blocks.append((node, item.context_expr, origin))
            self.atomic |= origin == "django.db.transaction.atomic"
            if item.optional_vars is not None:
                self._bind(item.optional_vars, item.context_expr)
        for statement in node.body:
            self.visit(statement)
        self.atomic = outer

    visit_AsyncWith = visit_With  # noqa: N815

    def visit_Try(self, node: ast.Try) -> None:
        if not self.raising:
            self.facts.handlers.append(node)
        self.generic_visit(node)

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        outer = self.raising
        self.raising |= isinstance(node.body[-1], ast.Raise)
        self.generic_visit(node)
        self.raising = outer

    def visit_Call(self, node: ast.Call) -> None:
        origin = self.origin(node.func)
        arguments = tuple(self.origin(argument) for argument in node.args)
        self.facts.by_node[node] = Call(
            node, origin, arguments, node in self.awaited, node in self.dropped, self.atomic
        )
        self.facts.handed_on |= {
            *arguments,
            *(self.origin(keyword.value) for keyword in node.keywords),
        }
        if node.args and among(origin, "orm", "consumers"):
            self._evaluate(node.args[0])
        self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if isinstance(node.ctx, ast.Load) and self._disguised(node):
            self.facts.disguised.append(node)
        self.generic_visit(node)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        if self.origin(node.value) == f"{REQUEST}.session":
            self.facts.evaluated.append((node, f"{REQUEST}.session"))
        elif not isinstance(node.slice, ast.Slice):
            self._evaluate(node.value)
        self.generic_visit(node)

    def _disguised(self, node: ast.Attribute) -> bool:
        if isinstance(node.value, ast.Name) and node.value.id in self.rows:
            return self.origins.relation(self.local[node.value.id], node.attr)
        return node.attr == "user" and self.origin(node.value) == REQUEST

    def _parameters(self, arguments: ast.arguments) -> None:
        owner = self.scope.owner
        django = any(
            str(name).startswith(("django.", "ninja", "rest_framework")) for name in self._imports()
        )
        for argument in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]:
            known = self.origins.of(argument.annotation, self.scope)
            if owner is not None and argument.arg in ("self", "cls"):
                known = owner.dotted
            elif argument.arg == "request" and argument.annotation is None and django:
                known = REQUEST
            self.local[argument.arg] = known
            self.facts.takes_request |= known == REQUEST
        bound = {
            node.id
            for node in own_nodes(self.scope.node)
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
        }
        self.given = self.local.keys() - bound

    def _imports(self) -> Iterator[str]:
        return (name for name in self.scope.module.names.values() if isinstance(name, str))

    def _bind(self, target: ast.expr, value: ast.expr) -> None:
        if isinstance(target, ast.Name):
            self.local[target.id] = self.origin(value)
            fetched = isinstance(value, ast.Await | ast.Call) and "_related(" not in ast.unparse(
                value
            )
            (self.rows.add if fetched and self.local[target.id] else self.rows.discard)(target.id)
        elif isinstance(target, ast.Tuple | ast.List):
            for element in target.elts:
                self._forget(element)

    def _forget(self, target: ast.expr) -> None:
        for node in ast.walk(target):
            if isinstance(node, ast.Name):
                self.local[node.id] = ""
                self.rows.discard(node.id)

    def _iterate(self, target: ast.expr, source: ast.expr, *, walked_here: bool) -> None:
        self.visit(source)
        if walked_here:
            self._evaluate(source)
        origin = self.origin(source)
        self._forget(target)
        if self.origins.is_query(origin) and not walked_here:
            self.facts.streamed.append(source)
        if isinstance(target, ast.Name) and self.origins.is_query(origin):
            self.local[target.id] = self.origins.row(origin)
            if "_related" not in origin:
                self.rows.add(target.id)

    def _truth(self, test: ast.expr) -> None:
        for part in test.values if isinstance(test, ast.BoolOp) else [test]:
            self._evaluate(part.operand if isinstance(part, ast.UnaryOp) else part)

    def _evaluate(self, node: ast.expr) -> None:
        origin = self.origin(node)
        if self.origins.is_query(origin) and node not in self.awaited:
            self.facts.evaluated.append((node, origin))

    @contextmanager
    def _turning(self, node: ast.AST, source: ast.expr, body: Iterable[ast.AST]) -> Iterator[None]:
        outer = self.turns, self.by
        if (
            isinstance(source, ast.Call)
            and self.origin(source.func) == "builtins.range"
            # Steps, such as the size of a chunk, make it short.
            and len(source.args) in (1, 2)
        ):
            end = source.args[-1]
            if isinstance(end, ast.Name) and end.id in self.given:
                self.by = end.id
            else:
                self.turns *= self.origins.number(end, self.scope)
        if (self.turns, self.by) != outer and not awaits(body):
            self.facts.loops.append(Loop(node, self.turns, self.by))
        yield
        self.turns, self.by = outer

"""Visits the lines of one function once, and writes down what they do."""

import ast
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from offload_dev.lint.function import CallSite, Function, Loop, WithBlock, awaits
from offload_dev.lint.names import ORM_CONSUMERS
from offload_dev.lint.resolver import REQUEST, Resolver
from offload_dev.lint.source import SCOPES, CodeScope, own_nodes

FRAMEWORKS = ("django.", "ninja", "rest_framework")


def visit(scope: CodeScope, resolver: Resolver) -> Function:
    """What the lines of a function do, or the lines at the top of a module."""
    return Visitor(scope, resolver).function


class Visitor(ast.NodeVisitor):
    """Visits one scope in the order of its lines, and follows what its local variables hold."""

    def __init__(self, scope: CodeScope, resolver: Resolver) -> None:
        self.scope, self.resolver, self.function = scope, resolver, Function(scope, resolver)

        # The origins of local variables.
        self.local: dict[str, str] = {}
        # Variables that hold a row whose relations were not fetched with it.
        self.rows: set[str] = set()
        self.parameters: set[str] = set()

        self.awaited: set[ast.AST] = set()
        self.dropped: set[ast.AST] = set()
        # The turns of the loops around the current line, and the parameter that multiplies them.
        self.turns, self.parameter = 1, ""
        self.atomic = False
        # Whether the current line stands in a handler whose last line raises.
        self.in_raising_handler = False

        if not isinstance(scope.node, ast.Module | ast.ClassDef):
            self._read_parameters(scope.node.args)
        for statement in scope.node.body:
            self.visit(statement)

    def origin(self, node: ast.expr | None) -> str:
        return self.resolver.origin(node, self.scope, self.local)

    def visit(self, node: ast.AST) -> None:
        # An inner function is visited by itself. A lambda is called by other code.
        if not isinstance(node, SCOPES):
            super().visit(node)

    # Calls, and what becomes of their results.

    def visit_Await(self, node: ast.Await) -> None:
        self.awaited.add(node.value)
        self.visit(node.value)

    def visit_Expr(self, node: ast.Expr) -> None:
        self.dropped.add(node.value)
        self.visit(node.value)

    def visit_Call(self, node: ast.Call) -> None:
        origin = self.origin(node.func)
        arguments = tuple(self.origin(argument) for argument in node.args)
        self.function.calls_by_node[node] = CallSite(
            node, origin, arguments, node in self.awaited, node in self.dropped, self.atomic
        )

        keywords = (self.origin(keyword.value) for keyword in node.keywords)
        self.function.passed_on.update(arguments, keywords)

        if node.args and ORM_CONSUMERS.matches(origin):
            self._evaluate(node.args[0])
        self.generic_visit(node)

    # Variables.

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

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if isinstance(node.ctx, ast.Load) and self._is_hidden_query(node):
            self.function.hidden_queries.append(node)
        self.generic_visit(node)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        if self.origin(node.value) == f"{REQUEST}.session":
            self.function.evaluated.append((node, f"{REQUEST}.session"))
        elif not isinstance(node.slice, ast.Slice):
            self._evaluate(node.value)
        self.generic_visit(node)

    # Loops and conditions.

    def visit_For(self, node: ast.For) -> None:
        self._iterate(node.target, node.iter, is_async=False)
        with self._inside_loop(node, node.iter, node.body):
            for statement in [*node.body, *node.orelse]:
                self.visit(statement)

    def visit_AsyncFor(self, node: ast.AsyncFor) -> None:
        self._iterate(node.target, node.iter, is_async=True)
        for statement in [*node.body, *node.orelse]:
            self.visit(statement)

    def visit_While(self, node: ast.While) -> None:
        self._evaluate_condition(node.test)
        self.generic_visit(node)

    def visit_If(self, node: ast.If) -> None:
        self._evaluate_condition(node.test)
        self.generic_visit(node)

    def _visit_comprehension(
        self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp
    ) -> None:
        for generator in node.generators:
            self._iterate(generator.target, generator.iter, is_async=bool(generator.is_async))

        tests = [test for generator in node.generators for test in generator.ifs]
        results = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
        with self._inside_loop(node, node.generators[0].iter, [node]):
            for part in [*tests, *results]:
                self.visit(part)

    # The method names are those of `ast`.
    visit_ListComp = _visit_comprehension  # noqa: N815
    visit_SetComp = _visit_comprehension  # noqa: N815
    visit_GeneratorExp = _visit_comprehension  # noqa: N815
    visit_DictComp = _visit_comprehension  # noqa: N815

    # Blocks.

    def visit_With(self, node: ast.With | ast.AsyncWith) -> None:
        outer = self.atomic
        for item in node.items:
            if isinstance(node, ast.AsyncWith):
                self.awaited.add(item.context_expr)
            self.visit(item.context_expr)

            origin = self.origin(item.context_expr)
            self.function.blocks.append(WithBlock(node, item.context_expr, origin))
            self.atomic |= origin == "django.db.transaction.atomic"
            if item.optional_vars is not None:
                self._bind(item.optional_vars, item.context_expr)

        for statement in node.body:
            self.visit(statement)
        self.atomic = outer

    visit_AsyncWith = visit_With  # noqa: N815

    def visit_Try(self, node: ast.Try) -> None:
        if not self.in_raising_handler:
            self.function.try_blocks.append(node)
        self.generic_visit(node)

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        outer = self.in_raising_handler
        self.in_raising_handler |= isinstance(node.body[-1], ast.Raise)
        self.generic_visit(node)
        self.in_raising_handler = outer

    # What local variables hold.

    def _read_parameters(self, arguments: ast.arguments) -> None:
        for argument in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]:
            known = self._parameter_origin(argument)
            self.local[argument.arg] = known
            self.function.takes_request |= known == REQUEST
        self.parameters = set(self.local)

    def _parameter_origin(self, argument: ast.arg) -> str:
        if self.scope.owner is not None and argument.arg in ("self", "cls"):
            return self.scope.owner.dotted
        if argument.arg == "request" and argument.annotation is None and self._uses_a_framework():
            return REQUEST
        return self.resolver.origin(argument.annotation, self.scope)

    def _uses_a_framework(self) -> bool:
        names = self.scope.module.names.values()
        return any(str(name).startswith(FRAMEWORKS) for name in names if isinstance(name, str))

    def _bind(self, target: ast.expr, value: ast.expr) -> None:
        if isinstance(target, ast.Tuple | ast.List):
            for element in target.elts:
                self._forget(element)
        if not isinstance(target, ast.Name):
            return

        self.local[target.id] = self.origin(value)
        is_result = isinstance(value, ast.Await | ast.Call)
        if is_result and self.local[target.id] and "_related(" not in ast.unparse(value):
            self.rows.add(target.id)
        else:
            self.rows.discard(target.id)

    def _forget(self, target: ast.expr) -> None:
        for node in ast.walk(target):
            if isinstance(node, ast.Name):
                self.local[node.id] = ""
                self.rows.discard(node.id)

    # Queries.

    def _is_hidden_query(self, node: ast.Attribute) -> bool:
        if isinstance(node.value, ast.Name) and node.value.id in self.rows:
            return self.resolver.is_relation(self.local[node.value.id], node.attr)
        return node.attr == "user" and self.origin(node.value) == REQUEST

    def _iterate(self, target: ast.expr, source: ast.expr, *, is_async: bool) -> None:
        self.visit(source)
        if not is_async:
            self._evaluate(source)

        origin = self.origin(source)
        self._forget(target)
        if not self.resolver.is_query(origin):
            return

        if is_async:
            self.function.streamed.append(source)
        if isinstance(target, ast.Name):
            self.local[target.id] = self.resolver.row(origin)
            if "_related" not in origin:
                self.rows.add(target.id)

    def _evaluate_condition(self, test: ast.expr) -> None:
        for part in test.values if isinstance(test, ast.BoolOp) else [test]:
            self._evaluate(part.operand if isinstance(part, ast.UnaryOp) else part)

    def _evaluate(self, node: ast.expr) -> None:
        origin = self.origin(node)
        if self.resolver.is_query(origin) and node not in self.awaited:
            self.function.evaluated.append((node, origin))

    # Turns of loops.

    @contextmanager
    def _inside_loop(
        self, node: ast.AST, source: ast.expr, body: Iterable[ast.AST]
    ) -> Iterator[None]:
        outer = self.turns, self.parameter

        # A third argument is a step, such as the size of a chunk, and makes the loop short.
        is_range = isinstance(source, ast.Call) and self.origin(source.func) == "builtins.range"
        if is_range and isinstance(source, ast.Call) and len(source.args) in (1, 2):
            end = source.args[-1]
            if isinstance(end, ast.Name) and self._is_unchanged_parameter(end.id):
                self.parameter = end.id
            else:
                self.turns *= self.resolver.number(end, self.scope)

        if (self.turns, self.parameter) != outer and not awaits(body):
            self.function.loops.append(Loop(node, self.turns, self.parameter))
        yield
        self.turns, self.parameter = outer

    def _is_unchanged_parameter(self, name: str) -> bool:
        """Whether the caller gives this value: a parameter that the function never assigns to."""
        return name in self.parameters and not any(
            isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.id == name
            for node in own_nodes(self.scope.node)
        )

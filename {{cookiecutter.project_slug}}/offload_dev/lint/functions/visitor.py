"""Visits the lines of one function once, and writes down what they do.

`Variables` knows what the local variables hold, `Evaluations` what lines call without a call, and
`Conditions` which blocks run only under a condition.
"""

import ast
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from offload_dev.lint.functions.conditions import Conditions
from offload_dev.lint.functions.evaluations import Evaluations, is_text
from offload_dev.lint.functions.function import (
    CallSite,
    Evaluated,
    Function,
    Loop,
    WithBlock,
    awaits,
)
from offload_dev.lint.functions.node_visits import NodeVisits
from offload_dev.lint.functions.plain_calls import is_plain
from offload_dev.lint.functions.variables import Variables
from offload_dev.lint.origins.resolver import Resolver
from offload_dev.lint.source.names import REQUEST, REST_REQUEST
from offload_dev.lint.source.nodes import Def, all_nodes, children
from offload_dev.lint.source.tree import CodeScope

ATOMIC = "django.db.transaction.atomic"


def visit(scope: CodeScope, resolver: Resolver) -> Function:
    """What the lines of a function do, or the lines at the top of a module."""
    return Visitor(scope, resolver).function


class Visitor(ast.NodeVisitor):
    """Visits one scope in the order of its lines."""

    def __init__(self, scope: CodeScope, resolver: Resolver) -> None:
        self.scope, self.resolver, self.function = scope, resolver, Function(scope, resolver)
        self.variables = Variables(scope, resolver)
        self.evaluations = Evaluations(self.function, self.variables)
        self.conditions = Conditions(self.function, self.variables.parameters)
        self.origin = self.variables.origin
        requests = {REQUEST, REST_REQUEST}
        self.function.takes_request = not requests.isdisjoint(self.variables.local.values())

        self.dropped: set[ast.AST] = set()
        # The turns of the loops around the current line, and the parameter that multiplies them.
        self.turns, self.parameter = 1, ""
        # Whether the current line stands in a handler whose last line raises.
        self.in_raising_handler = False

        # A decorator puts the whole function into a transaction.
        decorators = (origin for origin, _ in resolver.decorators.of(scope))
        self.evaluations.atomic = ATOMIC in decorators

        self.returns_rows = (
            isinstance(scope.node, Def)
            and resolver.decorators.is_typed_endpoint(scope)
            and not resolver.decorators.is_paginated(scope)
        )
        for statement in scope.node.body:
            self.visit(statement)

    def visit(self, node: ast.AST) -> None:
        """Visit a node. An inner function is visited by itself, other code calls a lambda."""
        VISITS[type(node)](self, node)

    def generic_visit(self, node: ast.AST) -> None:
        """Visit the nodes below a node."""
        for child in children(node):
            VISITS[type(child)](self, child)

    # Calls, and what becomes of their results.

    def visit_Await(self, node: ast.Await) -> None:
        self.evaluations.awaited.add(node.value)
        self.visit(node.value)
        # What a thread has read of a row is not queried again: `sync_to_async(lambda: …)()`.
        made = self.variables.run(node.value)
        if made is not node.value:
            reads = (each for each in all_nodes(made) if isinstance(each, ast.Attribute))
            self.variables.assigned.update(map(ast.unparse, reads))

    def visit_Expr(self, node: ast.Expr) -> None:
        self.dropped.add(node.value)
        if isinstance(node.value, ast.ListComp | ast.SetComp):
            self.dropped.add(node.value.elt)
        self.visit(node.value)

    def visit_Call(self, node: ast.Call) -> None:
        origin = self.origin(node.func)
        arguments = tuple(self.origin(argument) for argument in node.args)
        is_awaited, is_dropped = node in self.evaluations.awaited, node in self.dropped
        is_awaited = is_awaited and not is_plain(origin, self.resolver)
        self.function.calls_by_node[node] = CallSite(
            node, origin, arguments, is_awaited, is_dropped, self.evaluations.atomic
        )

        keywords = [self.origin(keyword.value) for keyword in node.keywords]
        self.function.passed_on.update(arguments, keywords)
        self.function.given |= zip(node.args, arguments, strict=True)
        self.function.given |= zip((each.value for each in node.keywords), keywords, strict=True)
        self.evaluations.note_call(node, origin)
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr="append"), args=[added]):
                self.variables.added.setdefault(name, []).append(added)
        self.generic_visit(node)

    def visit_Return(self, node: ast.Return) -> None:
        if node.value is not None:
            # A typed endpoint reads the queryset that it returns, on the event loop.
            if self.returns_rows:
                self.evaluations.evaluate(node.value)
                self.evaluations.related.read_by_response(node.value)
            self.conditions.note_fallback(node.value)
            self.visit(node.value)

    # Variables.

    def visit_Assign(self, node: ast.Assign) -> None:
        self.conditions.note_fallback(node.value)
        self.visit(node.value)
        for target in node.targets:
            self.variables.bind(target, node.value)
            self.visit(target)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)
            self.variables.bind(node.target, node.value)
        local = self.variables.local
        if isinstance(node.target, ast.Name) and not local.get(node.target.id):
            local[node.target.id] = self.resolver.annotation(node.annotation, self.scope)

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        self.visit(node.value)
        self.variables.bind(node.target, node.value)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if isinstance(node.ctx, ast.Load):
            self.evaluations.read_attribute(node)
        else:
            # `order.customer = customer`: reading it later runs no query.
            self.variables.assigned.add(ast.unparse(node))
        self.generic_visit(node)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        if self.origin(node.value) == f"{REQUEST}.session":
            self.function.evaluated.append(Evaluated(node, f"{REQUEST}.session"))
        elif not isinstance(node.slice, ast.Slice):
            self.evaluations.evaluate(node.value)
            self.evaluations.implicit_call(node.value, "__getitem__")
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

    def _iterate(self, target: ast.expr, source: ast.expr, *, is_async: bool) -> None:
        self.visit(source)
        self.evaluations.iterate(target, source, is_async=is_async)

    def _visit_condition(self, node: ast.While | ast.If | ast.IfExp | ast.Assert) -> None:
        self.evaluations.evaluate_condition(node.test)
        self.generic_visit(node)

    def visit_If(self, node: ast.If) -> None:
        self.conditions.note_if(node)
        self._visit_condition(node)

    def visit_IfExp(self, node: ast.IfExp) -> None:
        self.conditions.note_choice(node)
        self._visit_condition(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        for value in node.values[:-1]:
            self.evaluations.evaluate_condition(value)
        self.generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> None:
        for operator, right in zip(node.ops, node.comparators, strict=True):
            if isinstance(operator, ast.In | ast.NotIn):
                if self.origin(right) == f"{REQUEST}.session":
                    self.function.evaluated.append(Evaluated(right, f"{REQUEST}.session"))
                self.evaluations.evaluate(right)
                self.evaluations.implicit_call(right, "__contains__", "__iter__")
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        if isinstance(node.op, ast.Mod) and is_text(node.left):
            values = node.right.elts if isinstance(node.right, ast.Tuple) else [node.right]
            self.evaluations.write_as_text(values)
        self.generic_visit(node)

    def visit_Starred(self, node: ast.Starred | ast.YieldFrom) -> None:
        self.evaluations.note_iteration(node.value)
        self.evaluations.evaluate(node.value)
        self.generic_visit(node)

    def visit_FormattedValue(self, node: ast.FormattedValue) -> None:
        self.evaluations.write_as_text([node.value])
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
    visit_YieldFrom = visit_Starred  # noqa: N815
    visit_While = _visit_condition  # noqa: N815
    visit_Assert = _visit_condition  # noqa: N815
    visit_ListComp = _visit_comprehension  # noqa: N815
    visit_SetComp = _visit_comprehension  # noqa: N815
    visit_GeneratorExp = _visit_comprehension  # noqa: N815
    visit_DictComp = _visit_comprehension  # noqa: N815

    # Blocks.

    def visit_With(self, node: ast.With | ast.AsyncWith) -> None:
        outer = self.evaluations.atomic
        for item in node.items:
            if isinstance(node, ast.AsyncWith):
                self.evaluations.awaited.add(item.context_expr)
            else:
                self.evaluations.note_iteration(item.context_expr)
                self.evaluations.implicit_call(item.context_expr, "__enter__")
            self.visit(item.context_expr)

            origin = self.origin(item.context_expr)
            self.function.blocks.append(WithBlock(node, item.context_expr, origin))
            self.evaluations.atomic |= origin == ATOMIC
            if item.optional_vars is not None:
                self.variables.bind(item.optional_vars, item.context_expr)
                if isinstance(item.optional_vars, ast.Name):
                    name = item.optional_vars.id
                    self.variables.local[name] = self.resolver.entered(origin)

        for statement in node.body:
            self.visit(statement)
        self.evaluations.atomic = outer

    visit_AsyncWith = visit_With  # noqa: N815

    def visit_Try(self, node: ast.Try) -> None:
        if not self.in_raising_handler:
            self.function.try_blocks.append(node)
        self.conditions.note_try(node)
        self.generic_visit(node)

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        self.conditions.note_handler(node)
        outer = self.in_raising_handler
        self.in_raising_handler |= isinstance(node.body[-1], ast.Raise)
        self.generic_visit(node)
        self.in_raising_handler = outer

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
            if isinstance(end, ast.Name) and self.variables.is_unchanged_parameter(end.id):
                self.parameter = end.id
            else:
                self.turns *= self.resolver.number(end, self.scope, self.variables.values)

        if (self.turns, self.parameter) != outer and not awaits(body):
            self.function.loops.append(Loop(node, self.turns, self.parameter))
        yield
        self.turns, self.parameter = outer


VISITS = NodeVisits(Visitor)

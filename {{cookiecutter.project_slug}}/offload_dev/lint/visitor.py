"""Visits the lines of one function once, and writes down what they do."""

import ast
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from offload_dev.lint.arguments import needed
from offload_dev.lint.function import CallSite, Evaluated, Function, Loop, WithBlock, awaits
from offload_dev.lint.names import (
    FETCHING,
    FETCHING_PAIRS,
    ORM,
    ORM_CONSUMERS,
    REDIRECTS,
    RENDERERS,
    TASK_RESULTS,
)
from offload_dev.lint.resolver import REQUEST, Resolver
from offload_dev.lint.source import SCOPES, CodeScope, Def, own_nodes, own_statements

GET_OR_404 = ("get_object_or_404", "aget_object_or_404")
# Methods of managers that read what `prefetch_related` has fetched, if it has.
FREE_IF_PREFETCHED = {"all", "count", "exists", "first", "last"}
# They read a generator only as far as somebody reads them.
LAZY_CONSUMERS = {f"builtins.{name}" for name in ("enumerate", "filter", "iter", "map", "zip")}
ASKS_IF_ASYNC = ("async", "running_loop")
ASKS_FOR_LOOP = ("get_running_loop(", "current_task(")
# Errors that code catches in order to go on without an async variant.
FALLBACKS = {"AttributeError", "ImportError", "RuntimeError", "SynchronousOnlyOperation"}


def visit(scope: CodeScope, resolver: Resolver) -> Function:
    """What the lines of a function do, or the lines at the top of a module."""
    return Visitor(scope, resolver).function


class Visitor(ast.NodeVisitor):
    """Visits one scope in the order of its lines, and follows what its local variables hold."""

    def __init__(self, scope: CodeScope, resolver: Resolver) -> None:
        self.scope, self.resolver, self.function = scope, resolver, Function(scope, resolver)

        # The origins of local variables.
        self.local = resolver.parameters(scope)
        self.function.takes_request = REQUEST in self.local.values()
        self.parameters = set(self.local)
        nodes = own_statements(scope.node)
        self.globals = {n for each in nodes if isinstance(each, ast.Global) for n in each.names}
        # Variables that hold a row whose relations were not fetched with it.
        self.rows: set[str] = set()
        # Variables that hold a queryset which `async for` has fetched: reading it again is free.
        self.fetched: set[str] = set()
        # Attributes that the function has assigned to.
        self.assigned: set[str] = set()
        # What local variables were assigned last.
        self.values: dict[str, ast.expr] = {}

        self.awaited: set[ast.AST] = set()
        self.dropped: set[ast.AST] = set()
        # The turns of the loops around the current line, and the parameter that multiplies them.
        self.turns, self.parameter = 1, ""
        self.atomic = False
        # Whether the current line stands in a handler whose last line raises.
        self.in_raising_handler = False

        self.returns_rows = isinstance(scope.node, Def) and resolver.is_typed_endpoint(scope)
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
        self._note_row(node, node.func)
        self._note_evaluation(node, origin)
        self.generic_visit(node)

    def visit_Return(self, node: ast.Return) -> None:
        if node.value is not None:
            # A typed endpoint reads the queryset that it returns, on the event loop.
            if self.returns_rows:
                self._evaluate(node.value)
            self.visit(node.value)

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
        if isinstance(node.target, ast.Name) and not self.local.get(node.target.id):
            self.local[node.target.id] = self.resolver.annotation(node.annotation, self.scope)

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        self.visit(node.value)
        self._bind(node.target, node.value)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if isinstance(node.ctx, ast.Load):
            self._read_attribute(node)
        else:
            # `order.customer = customer`: reading it later runs no query.
            self.assigned.add(ast.unparse(node))
        self.generic_visit(node)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        if self.origin(node.value) == f"{REQUEST}.session":
            self.function.evaluated.append(Evaluated(node, f"{REQUEST}.session"))
        elif not isinstance(node.slice, ast.Slice):
            self._evaluate(node.value)
            self._implicit_call(node.value, "__getitem__")
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

    def _visit_condition(self, node: ast.While | ast.If | ast.IfExp | ast.Assert) -> None:
        self._evaluate_condition(node.test)
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        for value in node.values[:-1]:
            self._evaluate_condition(value)
        self.generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> None:
        for operator, right in zip(node.ops, node.comparators, strict=True):
            if isinstance(operator, ast.In | ast.NotIn):
                self._evaluate(right)
                self._implicit_call(right, "__contains__", "__iter__")
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        if isinstance(node.op, ast.Mod) and _is_text(node.left):
            self._format(node.right.elts if isinstance(node.right, ast.Tuple) else [node.right])
        self.generic_visit(node)

    def visit_Starred(self, node: ast.Starred | ast.YieldFrom) -> None:
        self._note_iteration(node.value)
        self._evaluate(node.value)
        self.generic_visit(node)

    def visit_FormattedValue(self, node: ast.FormattedValue) -> None:
        self._format([node.value])
        self.generic_visit(node)

    def _format(self, values: list[ast.expr]) -> None:
        """Note what writing these values into a text calls."""
        for value in values:
            self._evaluate(value)
            self._implicit_call(value, "__str__", "__repr__")

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
    visit_IfExp = _visit_condition  # noqa: N815
    visit_Assert = _visit_condition  # noqa: N815
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
            else:
                self._note_iteration(item.context_expr)
                self._implicit_call(item.context_expr, "__enter__")
            self.visit(item.context_expr)

            origin = self.origin(item.context_expr)
            self.function.blocks.append(WithBlock(node, item.context_expr, origin))
            self.atomic |= origin == "django.db.transaction.atomic"
            if item.optional_vars is not None:
                self._bind(item.optional_vars, item.context_expr)
                if isinstance(item.optional_vars, ast.Name):
                    self.local[item.optional_vars.id] = self.resolver.entered(origin)

        for statement in node.body:
            self.visit(statement)
        self.atomic = outer

    visit_AsyncWith = visit_With  # noqa: N815

    def visit_Try(self, node: ast.Try) -> None:
        if not self.in_raising_handler:
            self.function.try_blocks.append(node)
        self._note_handlers_without_loop(node)
        self.generic_visit(node)

    def _note_handlers_without_loop(self, node: ast.Try) -> None:
        """Where asking for the running loop fails, no loop runs in this thread."""
        asked = {ast.unparse(statement) for statement in node.body}
        if any(name in text for text in asked for name in ASKS_FOR_LOOP):
            for handler in node.handlers:
                lines = (handler.lineno, handler.end_lineno or handler.lineno)
                self.function.without_loop.append(lines)

    def visit_If(self, node: ast.If) -> None:
        test = ast.unparse(node.test)
        if any(word in test for word in ASKS_IF_ASYNC):
            self._note_unsure(node, "right if this branch runs without an event loop")
            is_denied = isinstance(node.test, ast.UnaryOp) and isinstance(node.test.op, ast.Not)
            self._note(node.body if is_denied else node.orelse, self.function.without_loop)
        names = _names_in(node.test)
        if not names.isdisjoint(self._kept_by(node.body)):
            self._note(node.body, self.function.once)
        # `if client: return client`, and then `client = Client()`.
        returns = any(isinstance(each, ast.Return) for each in own_nodes(node))
        if returns and not names.isdisjoint(self._kept_by(self.scope.node.body)):
            last = self.scope.node.end_lineno if isinstance(self.scope.node, Def) else None
            end = node.end_lineno or node.lineno
            self.function.once.append((end + 1, last or end))
        for name in needed(node.test):
            if name in self.parameters:
                first, last = node.body[0].lineno, node.body[-1].end_lineno or 0
                self.function.guards.append((first, last, name))
        self._visit_condition(node)

    def _note(self, body: list[ast.stmt], blocks: list[tuple[int, int]]) -> None:
        if body:
            blocks.append((body[0].lineno, body[-1].end_lineno or body[-1].lineno))

    def _kept_by(self, body: list[ast.stmt]) -> set[str]:
        """What a block assigns that lives as long as the process: `global x`, `cls.x`."""
        assigned = (
            target
            for statement in body
            for each in ast.walk(statement)
            if isinstance(each, ast.Assign)
            for target in each.targets
        )
        return {
            ast.unparse(target)
            for target in assigned
            if getattr(target, "id", None) in self.globals or _is_of_class(target)
        }

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        if node.type is not None and FALLBACKS & set(ast.unparse(node.type).split(".")):
            self._note(node.body, self.function.without_loop)
        outer = self.in_raising_handler
        self.in_raising_handler |= isinstance(node.body[-1], ast.Raise)
        self.generic_visit(node)
        self.in_raising_handler = outer

    def _note_unsure(self, node: ast.stmt | ast.excepthandler, reason: str) -> None:
        self.function.unsure.append((node.lineno, node.end_lineno or node.lineno, reason))

    # What local variables hold.

    def _bind(self, target: ast.expr, value: ast.expr) -> None:
        if isinstance(target, ast.Tuple | ast.List):
            for element in target.elts:
                self._forget(element)
            self._bind_pair(target.elts, value)
        if not isinstance(target, ast.Name):
            return

        self.local[target.id] = self.origin(value)
        self.values[target.id] = value
        self.fetched.discard(target.id)
        self.rows.discard(target.id)
        if self._fetches_row(value):
            self.rows.add(target.id)

    def _fetches_row(self, value: ast.expr) -> bool:
        """Whether a value is a row that is fetched here, without its relations.

        Another function may fetch them, and a row that is created has what it was created with.
        """
        call = _without_await(value)
        if not isinstance(call, ast.Call) or "_related(" in ast.unparse(call):
            return False
        head, _, method = self.origin(call.func).rpartition(".")
        if not self.resolver.is_query(head):
            query = self.origin(call.args[0]) if call.args else ""
            return "_related" not in query and method in GET_OR_404
        return "_related" not in head and method in FETCHING and not method.endswith("create")

    def _comes_from_function(self, query: ast.expr) -> bool:
        """Whether another function of this project makes a query, or begins it."""
        return any(
            isinstance(node, ast.Call)
            and self.resolver.function(self.origin(node.func)) is not None
            for node in ast.walk(query)
        ) or (isinstance(query, ast.Name) and query.id not in self.values)

    def _bind_pair(self, elements: list[ast.expr], value: ast.expr) -> None:
        """`order, is_new = await Order.objects.aget_or_create(…)`."""
        call = _without_await(value)
        origin = self.origin(call.func) if isinstance(call, ast.Call) else ""
        head, _, method = origin.rpartition(".")
        first = elements[0] if elements else None
        if isinstance(first, ast.Name) and method in FETCHING_PAIRS:
            self.local[first.id] = self.resolver.row(head)

    def _forget(self, target: ast.expr) -> None:
        for node in ast.walk(target):
            if isinstance(node, ast.Name):
                self.local[node.id] = ""
                self.values.pop(node.id, None)
                self.rows.discard(node.id)

    # What reading an attribute, or using an object, calls.

    def _read_attribute(self, node: ast.Attribute) -> None:
        base = self.origin(node.value)
        if node.attr == "user" and base == REQUEST:
            self.function.users.append(node)
        elif TASK_RESULTS.matches(base):
            self.function.read_of_results.append(node)
        elif self.resolver.is_relation(base, node.attr):
            if self._is_fresh(node.value) and ast.unparse(node) not in self.assigned:
                self.function.hidden_queries.append(node)
            elif isinstance(node.value, ast.Name) and node.value.id == "self":
                self.function.relations_of_self.append(node)
        elif node.attr == "data" and (rows := self._serialized(node.value)) is not None:
            self._evaluate(rows)
        else:
            method = self.resolver.classes.method(base, node.attr)
            if method is not None and self.resolver.is_property(method):
                self._add_implicit_call(node, node.value, f"{base}.{node.attr}")

    def _implicit_call(self, node: ast.expr, *names: str) -> None:
        """Note the special method that Python calls on an object; the first one that there is."""
        origin = self.origin(node)
        named = getattr(node, "id", getattr(node, "attr", ""))
        is_class = named in ("cls", origin.rpartition(".")[2])
        if self.resolver.classes.scope(origin) is None or is_class:
            return
        found = (name for name in names if self.resolver.classes.method(origin, name))
        if name := next(found, None):
            function = ast.copy_location(ast.Attribute(node, name, ast.Load()), node)
            self._add_implicit_call(function, node, f"{origin}.{name}")

    def _add_implicit_call(self, function: ast.Attribute, on: ast.expr, origin: str) -> None:
        call = ast.copy_location(ast.Call(function, [], []), function)
        self.function.calls_by_node[call] = CallSite(call, origin, (), False, False, self.atomic)
        if self._is_fresh(on):
            self.function.calls_on_rows.add(call)

    def _note_row(self, call: ast.Call, function: ast.expr) -> None:
        if isinstance(function, ast.Attribute) and self._is_fresh(function.value):
            self.function.calls_on_rows.add(call)

    def _is_fresh(self, node: ast.expr) -> bool:
        """Whether this is a row whose relations were not fetched with it."""
        if isinstance(node, ast.Name):
            return node.id in self.rows
        # `order.customer.country`: the first relation did not bring the second one.
        return isinstance(node, ast.Attribute) and bool(
            self._is_fresh(node.value)
            and self.resolver.is_relation(self.origin(node.value), node.attr)
        )

    # Queries.

    def _iterate(self, target: ast.expr, source: ast.expr, *, is_async: bool) -> None:
        self.visit(source)
        if not is_async:
            self._note_iteration(source)
            self._evaluate(source)
            self._implicit_call(source, "__iter__")

        origin = self.origin(source)
        self._forget(target)
        if not self.resolver.is_query(origin):
            return

        if is_async:
            self.function.streamed.append(source)
            if isinstance(source, ast.Name):
                self.fetched.add(source.id)
        if isinstance(target, ast.Name):
            self.local[target.id] = self.resolver.row(origin)
            is_fresh = "_related" not in origin and source not in self.function.maybe_prefetched
            if is_fresh and not self._comes_from_function(source):
                self.rows.add(target.id)

    def _note_evaluation(self, node: ast.Call, origin: str) -> None:
        """Note the querysets that a call evaluates."""
        first = node.args[0] if node.args else None
        if first is not None:
            if ORM_CONSUMERS.matches(origin):
                if origin not in LAZY_CONSUMERS:
                    self._note_iteration(first)
                self._evaluate(first)
                self._implicit_call(first, *_special_methods(origin))
            elif isinstance(node.func, ast.Attribute) and _reads_all(node.func):
                self._note_iteration(first)
                self._evaluate(first)
            if REDIRECTS.matches(origin):
                self._implicit_call(first, "get_absolute_url")
            if isinstance(node.func, ast.Attribute) and _is_text(node.func.value):
                self._format([*node.args, *(keyword.value for keyword in node.keywords)])
        if RENDERERS.matches(origin):
            for name, value in _context_of(node):
                self._evaluate(value, likely=f"evaluates if the template reads `{name}`")
        self._note_prefetch(node, origin)

    def _note_iteration(self, source: ast.expr) -> None:
        """Note that a line runs a generator. Calling its function alone runs nothing of it."""
        made = self.values.get(source.id) if isinstance(source, ast.Name) else source
        if made is not None:
            self.function.iterated.add(made)
        if isinstance(made, ast.Call) and self.origin(made.func) in LAZY_CONSUMERS:
            self.function.iterated.update(made.args)

    def _note_prefetch(self, node: ast.expr, origin: str) -> None:
        """Note a query of related rows that `prefetch_related` may have fetched before."""
        query = self.resolver.models.query(origin)
        if query is None or not query.methods or not set(query.methods) <= FREE_IF_PREFETCHED:
            return
        manager = query.manager.rpartition(".")[2]
        if manager in ORM["managers"] or self.resolver.models.manager_classes(
            query.manager.rpartition(".")[0], manager
        ):
            return
        root: ast.expr = node
        while isinstance(root, ast.Call | ast.Attribute):
            root = root.func if isinstance(root, ast.Call) else root.value
        if not (isinstance(root, ast.Name) and root.id in self.rows):
            self.function.maybe_prefetched[node] = manager

    def _evaluate_condition(self, test: ast.expr) -> None:
        for part in test.values if isinstance(test, ast.BoolOp) else [test]:
            self._evaluate(part.operand if isinstance(part, ast.UnaryOp) else part)

    def _evaluate(self, node: ast.expr, likely: str = "") -> None:
        origin = self.origin(node)
        is_fetched = isinstance(node, ast.Name) and node.id in self.fetched
        if not self.resolver.is_query(origin) or node in self.awaited or is_fetched:
            return
        self._note_prefetch(node, origin)
        if node in self.function.maybe_prefetched:
            name = self.function.maybe_prefetched[node]
            if self.resolver.project.prefetches(name):
                return
            likely = f"queries unless `prefetch_related` has fetched `{name}`"
        self.function.evaluated.append(Evaluated(node, origin, likely))

    def _serialized(self, node: ast.expr) -> ast.expr | None:
        """The queryset of `OrderSerializer(orders, many=True)`."""
        if isinstance(node, ast.Name):
            node = self.values.get(node.id, node)
        if not isinstance(node, ast.Call):
            return None
        given = [*node.args, *(each.value for each in node.keywords if each.arg == "instance")]
        is_serializer = self.origin(node.func).endswith("Serializer")
        return given[0] if is_serializer and given else None

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
                self.turns *= self.resolver.number(end, self.scope, self.values)

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


def _names_in(test: ast.expr) -> set[str]:
    """The names and attributes in a condition."""
    nodes = (node for node in ast.walk(test) if isinstance(node, ast.Name | ast.Attribute))
    return set(map(ast.unparse, nodes))


def _is_of_class(target: ast.expr) -> bool:
    """Whether this is an attribute of a class: `cls.client`, `Client.instance`."""
    owner = getattr(target, "value", None)
    name = owner.id if isinstance(target, ast.Attribute) and isinstance(owner, ast.Name) else ""
    return name == "cls" or name[:1].isupper()


def _without_await(value: ast.expr) -> ast.expr:
    return value.value if isinstance(value, ast.Await) else value


def _special_methods(consumer: str) -> tuple[str, ...]:
    """The methods that a built-in function calls on its argument."""
    match consumer.rpartition(".")[2]:
        case "str" | "print":
            return ("__str__", "__repr__")
        case "repr":
            return ("__repr__",)
        case "len":
            return ("__len__",)
        case "bool":
            return ("__bool__", "__len__")
    return ("__iter__",)


def _reads_all(function: ast.Attribute) -> bool:
    """Whether a method reads all of its argument: `", ".join(names)`, `rows.extend(more)`."""
    return function.attr == "extend" or (function.attr == "join" and _is_text(function.value))


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _context_of(call: ast.Call) -> Iterator[tuple[str, ast.expr]]:
    """The names and values that a call of `render` gives to a template."""
    for given in [*call.args, *(keyword.value for keyword in call.keywords)]:
        if isinstance(given, ast.Dict):
            for key, value in zip(given.keys, given.values, strict=True):
                if isinstance(key, ast.Constant):
                    yield str(key.value), value

"""One function, and what its lines do. This is what most rules check."""

import ast
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from offload_dev.lint.origins.resolver import Resolver
from offload_dev.lint.source.names import ASYNC_QUERIES, ASYNC_QUERIES_ON_ROWS
from offload_dev.lint.source.nodes import SCOPES, children, own_nodes
from offload_dev.lint.source.patterns import Patterns
from offload_dev.lint.source.tree import CodeScope


class CallSite(NamedTuple):
    """A call.

    Args:
        node: the call itself.
        origin: where the called function comes from, as `resolver.py` names it.
        arguments: the origins of the positional arguments.
        awaited: whether its result is awaited at once.
        dropped: whether the call is a statement by itself, so that nobody gets its result.
        atomic: whether it stands inside of `with transaction.atomic()`.
    """

    node: ast.Call
    origin: str
    arguments: tuple[str, ...]
    awaited: bool
    dropped: bool
    atomic: bool

    @property
    def method(self) -> str:
        """The last part of the origin: `get` of `shop.models.Order.objects.get`."""
        return self.origin.rpartition(".")[2]

    @property
    def holder(self) -> str:
        """The origin without its last part: `shop.models.Order.objects`."""
        return self.origin.rpartition(".")[0]


class Loop(NamedTuple):
    """A loop over a `range` without an `await`.

    Args:
        node: the loop or comprehension.
        turns: the number of turns that is written in the source; nested loops are multiplied.
        parameter: the parameter that multiplies `turns`; empty if there is none.
    """

    node: ast.AST
    turns: int
    parameter: str


class Evaluated(NamedTuple):
    """A queryset that a line evaluates, or `request.session`.

    Args:
        likely: why the line may still be right; empty if it is certain.
        atomic: whether it stands inside of `with transaction.atomic()`.
    """

    node: ast.expr
    origin: str
    likely: str = ""
    atomic: bool = False


class HiddenQuery(NamedTuple):
    """A relation of a row that runs a query when it is read.

    Args:
        node: the relation: `order.customer`.
        subject: what reads it, if no line names it; else empty.
        many: whether it leads to many rows.
        likely: why the line may still be right; empty if it is certain.
    """

    node: ast.Attribute
    subject: str = ""
    many: bool = False
    likely: str = ""


class WithBlock(NamedTuple):
    """A context manager of a `with` or `async with` statement."""

    node: ast.With | ast.AsyncWith
    manager: ast.expr
    origin: str


@dataclass(eq=False)
class Function:
    """One function (or the body of one module), and what its lines do.

    Args:
        takes_request: whether a parameter is an `HttpRequest`.
        passed_on: the origins of all arguments of all calls.
        given: the origins of the arguments of all calls, by the argument.
        calls_on_rows: the calls of methods of a row whose relations were not fetched with it.
        evaluated: querysets that a line evaluates; also `request.session`.
        fresh_arguments: rows, fetched without their relations, that a call gives to a function.
        maybe_prefetched: queries of related rows, by the relation's name, which are free if
            `prefetch_related` has fetched the rows before.
        iterated: the values that a line iterates over, and context managers that it enters.
        streamed: querysets that an `async for` reads.
        users: reads of `request.user`, and of variables that hold it.
        hidden_queries: relations of rows that run a query when they are read.
        relations_of_self: relations of a model that its own method reads. They run a query if the
            row was fetched without them.
        read_of_results: attributes of Celery's results that are read or called.
        without_loop: blocks that run only without an event loop: first line, last line.
        once: blocks that run once for the process, and keep what they make: first line, last line.
        guards: blocks that run only if a parameter has a value: first line, last line, its name.
            With `arguments.WITHOUT` before the name, they run only if it has none; with
            `arguments.EQUALS` behind it, only if it has one of the values that follow.
        unsure: blocks that may not run on an event loop: first line, last line, why.
        try_blocks: `try` statements, without those in handlers that raise again.
    """

    scope: CodeScope
    resolver: Resolver
    takes_request: bool = False
    passed_on: set[str] = field(default_factory=set)
    given: dict[ast.expr, str] = field(default_factory=dict)
    calls_by_node: dict[ast.expr, CallSite] = field(default_factory=dict)
    calls_on_rows: set[ast.Call] = field(default_factory=set)
    fresh_arguments: list[tuple[ast.Call, ast.expr]] = field(default_factory=list)
    evaluated: list[Evaluated] = field(default_factory=list)
    maybe_prefetched: dict[ast.expr, str] = field(default_factory=dict)
    iterated: set[ast.expr] = field(default_factory=set)
    streamed: list[ast.expr] = field(default_factory=list)
    users: list[ast.expr] = field(default_factory=list)
    hidden_queries: list[HiddenQuery] = field(default_factory=list)
    relations_of_self: list[ast.Attribute] = field(default_factory=list)
    read_of_results: list[ast.Attribute] = field(default_factory=list)
    loops: list[Loop] = field(default_factory=list)
    blocks: list[WithBlock] = field(default_factory=list)
    try_blocks: list[ast.Try] = field(default_factory=list)
    without_loop: list[tuple[int, int]] = field(default_factory=list)
    once: list[tuple[int, int]] = field(default_factory=list)
    guards: list[tuple[int, int, str]] = field(default_factory=list)
    unsure: list[tuple[int, int, str]] = field(default_factory=list)

    @cached_property
    def calls(self) -> list[CallSite]:
        """All calls, in the order of the source."""
        return list(self.calls_by_node.values())

    @cached_property
    def calls_not_awaited(self) -> list[CallSite]:
        """The calls that do their work when they are called, on the function's own thread."""
        return [call for call in self.calls if not call.awaited]

    def calls_to(self, patterns: Patterns) -> list[CallSite]:
        """The calls, not awaited, of what these patterns name."""
        return [call for call in self.calls_not_awaited if patterns.matches(call.origin)]

    def origin_of(self, node: ast.expr) -> str:
        """The origin of an expression, whatever the line: of a variable that does not change."""
        return self.resolver.origin(node, self.scope, self.resolver.locals(self.scope))

    def spares_loop(self, line: int) -> bool:
        """Whether a line runs only where no event loop runs, or once for the process."""
        blocks = (*self.without_loop, *self.once)
        return any(first <= line <= last for first, last in blocks)

    def parameters_needed(self, line: int) -> list[str]:
        """The parameters that must have a value if a line is to run."""
        return [name for first, last, name in self.guards if first <= line <= last]

    def why_unsure(self, line: int) -> str:
        """Why a line may not run on an event loop; empty if nothing says so."""
        return next((why for first, last, why in self.unsure if first <= line <= last), "")

    @cached_property
    def decorators(self) -> list[tuple[str, ast.expr]]:
        """The origin and the name of each decorator."""
        return self.resolver.decorators.of(self.scope)

    @cached_property
    def is_task(self) -> bool:
        """Whether a decorator makes this function a task or a job."""
        return self.resolver.decorators.is_task(self.scope)

    @cached_property
    def is_generator(self) -> bool:
        return is_generator(self.scope)


def is_generator(scope: CodeScope) -> bool:
    """Whether a function yields."""
    return any(isinstance(node, ast.Yield | ast.YieldFrom) for node in own_nodes(scope.node))


def is_abstract(scope: CodeScope) -> bool:
    """Whether a method does nothing by itself, so that its heirs have to."""
    return all(map(_does_nothing, scope.node.body))


def _does_nothing(statement: ast.stmt) -> bool:
    """Whether this is a docstring, `...`, `pass` or `raise NotImplementedError`."""
    match statement:
        case ast.Pass() | ast.Expr(value=ast.Constant()):
            return True
        case ast.Raise(exc=ast.expr() as raised):
            return "NotImplemented" in ast.unparse(raised)
    return False


def is_async_query(call: CallSite, resolver: Resolver) -> bool:
    """Whether a call returns the coroutine of an async query."""
    if call.method in ASYNC_QUERIES_ON_ROWS and resolver.models.is_model(call.holder):
        return True
    return call.method in ASYNC_QUERIES and resolver.queries.is_query(call.holder)


def awaits(nodes: Iterable[ast.AST]) -> bool:
    """Whether these lines give way to the event loop. Functions inside of them do not count."""
    for node in nodes:
        if isinstance(node, ast.Await | ast.AsyncFor | ast.AsyncWith) or (
            isinstance(node, ast.comprehension) and node.is_async
        ):
            return True
        if not isinstance(node, SCOPES) and awaits(children(node)):
            return True
    return False

"""Follows calls from function to function, to where one of them breaks a rule."""

import ast
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from offload_dev.lint.deadlocks import Deadlocks
from offload_dev.lint.function import CallSite, Function
from offload_dev.lint.names import TO_THREAD
from offload_dev.lint.resolver import Resolver
from offload_dev.lint.source import CodeScope, Project
from offload_dev.lint.violations import ChainStep, Violation
from offload_dev.lint.visitor import visit

Find = Callable[[Function], Iterable[Violation]]
# What a call adds to the function that it calls: the function, the call, the caller.
FindAtCall = Callable[[Function, ast.Call, CodeScope], Iterable[Violation]]


@dataclass(frozen=True)
class ThreadRules:
    """The rules about what a function does to the thread that runs it, as one."""

    find: Find
    find_at_call: FindAtCall


class CallGraph:
    """The functions of a project, and the calls between them.

    Rules that need more than one function get this object. `blocking` follows calls to what blocks
    a thread or computes in it; `deadlocks` follows them to what waits for its own thread.
    """

    def __init__(self, project: Project, rules: ThreadRules) -> None:
        self.project = project
        self.resolver = Resolver(project)
        self.functions = {scope: visit(scope, self.resolver) for scope in project.functions}
        self._called: dict[Function, list[tuple[CallSite, Function]]] = {}

        passed_on = {
            origin for function in self.functions.values() for origin in function.passed_on
        }
        self._passed_on = set(map(self.resolver.function, passed_on))

        self.blocking = Reach(self, rules.find, rules.find_at_call)
        deadlocks = Deadlocks(self.functions, self.resolver)
        self.deadlocks = Reach(self, deadlocks.violations)

    def function(self, origin: str) -> Function | None:
        """The function of the project that an origin names."""
        scope = self.resolver.function(origin)
        return None if scope is None else self.functions.get(scope)

    def is_view(self, scope: CodeScope) -> bool:
        """Whether a plain function takes a request, and no code passes it on as an argument.

        A function that is passed on may run in another thread than the request's.
        """
        return self.functions[scope].takes_request and scope not in self._passed_on

    def called_on_same_thread(self, function: Function) -> list[tuple[CallSite, Function]]:
        """The calls of the project's plain functions that run on the caller's own thread."""
        if function not in self._called:
            pairs = ((call, self.function(call.origin)) for call in function.calls_not_awaited)
            self._called[function] = [
                (call, called)
                for call, called in pairs
                if called is not None and not called.scope.on_loop and not _runs_elsewhere(called)
            ]
        return self._called[function]


class Reach:
    """What a plain function comes to, by itself or through the functions that it calls.

    Args:
        find: the violations of one function.
        find_at_call: the violations that one call adds to the function that it calls.
    """

    def __init__(
        self, graph: CallGraph, find: Find, find_at_call: FindAtCall | None = None
    ) -> None:
        self._graph, self._find, self._find_at_call = graph, find, find_at_call
        self._own: dict[Function, list[Violation]] = {}
        self._reached: dict[Function, dict[str, Violation]] = {}

    def own(self, function: Function) -> list[Violation]:
        """The violations of the function's own lines."""
        if function not in self._own:
            self._own[function] = list(self._find(function))
        return self._own[function]

    def through_calls(self, function: Function) -> Iterator[Violation]:
        """The violations that a function comes to through its calls, each at the line of the call.

        The chain begins with that line.
        """
        for call, called in self._graph.called_on_same_thread(function):
            line = call.node.lineno
            step = ChainStep(function.scope, line, function.scope.label)
            for found in self.of_call(called, call.node, function.scope):
                yield found._replace(line=line, chain=(step, *found.chain))

    def of_call(
        self, called: Function, call: ast.Call | None, caller: CodeScope
    ) -> Iterator[Violation]:
        """What a function comes to by itself, and by what this call gives it."""
        yield from self.of_function(called).values()
        if call is not None and self._find_at_call is not None:
            for found in self._find_at_call(called, call, caller):
                yield found._replace(chain=(_step(called, found),))

    def first(self, function: Function) -> Violation | None:
        """The first violation that a plain function comes to."""
        return next(iter(self.of_function(function).values()), None)

    def of_function(self, function: Function) -> dict[str, Violation]:
        """What a plain function comes to: for each rule the first violation on the way.

        The chain begins in the function itself.
        """
        if function not in self._reached:
            # A function that calls itself ends here.
            self._reached[function] = {}
            reached: dict[str, Violation] = {}
            for found in self.own(function):
                reached.setdefault(found.rule, found._replace(chain=(_step(function, found),)))
            for found in self.through_calls(function):
                reached.setdefault(found.rule, found)
            self._reached[function] = reached
        return self._reached[function]


def _step(function: Function, found: Violation) -> ChainStep:
    return ChainStep(function.scope, found.line, function.scope.label)


def _runs_elsewhere(function: Function) -> bool:
    """Whether calling a function only hands it to a thread or to a worker."""
    return function.is_task or any(TO_THREAD.matches(origin) for origin, _ in function.decorators)

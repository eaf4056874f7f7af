"""Follows calls from function to function, to where one of them breaks a rule."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from offload_dev.lint.calls.call_targets import CallTargets
from offload_dev.lint.calls.callables import Callables
from offload_dev.lint.calls.given import Given, affected
from offload_dev.lint.calls.loop_functions import LoopFunctions
from offload_dev.lint.calls.own_loops import run_by_sync_code
from offload_dev.lint.calls.reach import Find, FindAtCall, Reach
from offload_dev.lint.calls.receivers import Receivers
from offload_dev.lint.calls.transactions import publications, service_calls
from offload_dev.lint.checks.deadlocks import Deadlocks
from offload_dev.lint.checks.violations import Violation
from offload_dev.lint.functions.function import CallSite, Function
from offload_dev.lint.functions.visitor import visit
from offload_dev.lint.origins.resolver import Resolver
from offload_dev.lint.source.names import TO_THREAD
from offload_dev.lint.source.nodes import Def, all_nodes, children
from offload_dev.lint.source.patterns import Patterns
from offload_dev.lint.source.project import Project
from offload_dev.lint.source.tree import CodeScope
from offload_dev.lint.tasks.canvas import result_waits

ON_COMMIT = "django.db.transaction.on_commit"
CACHES = Patterns("functools.{cache,lru_cache}")
# Arguments are followed from call to call this many times.
MAX_ROUNDS = 2


@dataclass(frozen=True)
class ThreadRules:
    """The rules about what a function does to the thread that runs it, as one."""

    find: Find
    find_at_call: FindAtCall


class CallGraph:
    """The functions of a project, and the calls between them.

    Rules that need more than one function get this object. `blocking` follows calls to what blocks
    a thread or computes in it, `deadlocks` to what waits for its own thread, `publications` to the
    tasks that are published, `service_calls` to the calls of other services, and `result_waits` to
    what waits for the results of tasks.
    """

    def __init__(self, project: Project, rules: ThreadRules) -> None:
        self.project = project
        self.resolver = Resolver(project)
        self.functions = {s: visit(s, self.resolver) for s in project.functions}
        self.bodies = {module: visit(module, self.resolver) for module in project.files}
        self._follow_arguments()
        self._loop_functions = LoopFunctions(self.functions, self.resolver)
        self._called: dict[Function, list[tuple[CallSite, Function]]] = {}

        passed_on = {
            origin for function in self.functions.values() for origin in function.passed_on
        }
        self._passed_on = set(map(self.resolver.function, passed_on))

        self.blocking = Reach(self, rules.find, rules.find_at_call)
        deadlocks = Deadlocks(self.functions, self.resolver)
        self.deadlocks = Reach(self, deadlocks.violations)
        self.publications = Reach(self, publications)
        self.service_calls = Reach(self, service_calls)
        self.result_waits = Reach(self, result_waits)

    def _follow_arguments(self) -> None:
        """Visit the functions again that know more of their parameters by what calls give.

        What functions get as values decides which functions calls run, and so what these get.
        """
        self._given, targets = Given((), self.resolver), None
        for _ in range(MAX_ROUNDS):
            known = self._given.learned
            self._given = Given(self._everything, self.resolver, targets)
            self.resolver.learn(self._given.origin)
            for scope in affected(self._given.learned - known, self.functions, self.resolver):
                self.functions[scope] = visit(scope, self.resolver)
            self._receivers = Receivers(self.functions, self.bodies.values(), self.resolver)
            callables = Callables(self._everything, self._given, self.resolver)
            targets = CallTargets(self.functions, self._receivers, callables, self.resolver)
            self.targets = targets

    @property
    def _everything(self) -> list[Function]:
        return [*self.functions.values(), *self.bodies.values()]

    def function(self, origin: str) -> Function | None:
        """The function of the project that an origin names."""
        scope = self.resolver.function(origin)
        return None if scope is None else self.functions.get(scope)

    def is_view(self, scope: CodeScope) -> bool:
        """Whether a plain function takes a request, and no code passes it on as an argument.

        A function that is passed on may run in another thread than the request's.
        """
        return self.functions[scope].takes_request and scope not in self._passed_on

    def is_closed(self, scope: CodeScope, found: Violation) -> bool:
        """Whether no call gives a function the arguments without which a line does not run.

        Of plain functions, that are no views and are not passed on, all calls are known.
        """
        function = self.functions[scope]
        is_open = scope.owner or function.decorators or function.takes_request
        if is_open or scope in self._passed_on:
            return False
        return any(self._given.is_never_true(scope, name) for name in found.needs)

    def runs_on_loop(self, scope: CodeScope) -> bool:
        """Whether the event loop runs a function."""
        return self._loop_functions.runs_on_loop(scope)

    def may_run_on_loop(self, scope: CodeScope) -> str:
        """Why a plain function may run on the loop and may not; empty if nothing says so."""
        return self._loop_functions.may_run_on_loop(scope)

    @cached_property
    def run_by_sync_code(self) -> set[CodeScope]:
        """The async functions that sync code runs, each time in an event loop of its own."""
        return run_by_sync_code(self.functions, self.resolver)

    @cached_property
    def callers(self) -> dict[CodeScope, list[tuple[CodeScope, CallSite]]]:
        """By function, its callers, and their calls."""
        found: dict[CodeScope, list[tuple[CodeScope, CallSite]]] = {}
        for scope, function in self.functions.items():
            for call in function.calls:
                for called in (*self.targets.of(call, function), *self._handed(call)):
                    found.setdefault(called.scope, []).append((scope, call))
        return found

    def _handed(self, call: CallSite) -> Iterator[Function]:
        """The functions of this project among the arguments of a call."""
        yield from filter(None, map(self.function, call.arguments))

    @cached_property
    def of_saved_rows(self) -> set[CodeScope]:
        """The receivers that run inside of the `save` or `delete` of a row."""
        return self._receivers.of_saved_rows()

    @cached_property
    def after_commit(self) -> set[CodeScope | None]:
        """The functions that run when a transaction has committed.

        A decorator of the project may hand a function to `on_commit`.
        """
        handed = {
            self.resolver.function(argument)
            for function in self.functions.values()
            for call in function.calls
            if call.origin == ON_COMMIT
            for argument in call.arguments
        }
        return handed | {
            scope for scope, function in self.functions.items() if self._waits_for_commit(function)
        }

    def _waits_for_commit(self, function: Function) -> bool:
        decorators = (self.resolver.function(origin) for origin, _ in function.decorators)
        return any(each is not None and "on_commit(" in each.text_of_lines for each in decorators)

    def called_on_same_thread(self, function: Function) -> list[tuple[CallSite, Function]]:
        """The calls of the project's plain functions that run on the caller's own thread."""
        if function not in self._called:
            self._called[function] = [
                (call, called)
                for call in function.calls_not_awaited
                for called in self.targets.of(call, function)
                if not called.scope.on_loop and not self._runs_elsewhere(called)
                if not _runs_once(called)
                if not called.is_generator or call.node in function.iterated
            ]
        return self._called[function]

    def called_by(self, scope: CodeScope) -> list[CodeScope]:
        """The plain functions of the project that a function calls."""
        function = self.functions.get(scope)
        called = self.called_on_same_thread(function) if function is not None else []
        return [each.scope for _, each in called]

    def _runs_elsewhere(self, function: Function) -> bool:
        """Whether calling a function only hands it to a thread or to a worker.

        A decorator of the project may start the thread.
        """
        return function.is_task or any(
            TO_THREAD.matches(origin) or self._starts_thread(self.resolver.function(origin))
            for origin, _ in function.decorators
        )

    def _starts_thread(self, decorator: CodeScope | None) -> bool:
        """Whether a decorator makes a thread of what it decorates: `Thread(target=function)`."""
        if decorator is None or not isinstance(decorator.node, Def) or not decorator.node.args.args:
            return False
        decorated = decorator.node.args.args[0].arg
        return any(
            isinstance(node, ast.Call)
            and ast.unparse(node.func).endswith("Thread")
            and any(
                k.arg == "target" and getattr(k.value, "id", "") == decorated for k in node.keywords
            )
            for node in all_nodes(decorator.node)
        )


def _runs_once(function: Function) -> bool:
    """Whether a cache keeps the result of a function without parameters."""
    arguments = getattr(function.scope.node, "args", None)
    is_same = arguments is not None and not any(children(arguments))
    return is_same and any(CACHES.matches(origin) for origin, _ in function.decorators)

"""Follows calls from function to function, to where one of them breaks a rule."""

import ast
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from offload_dev.lint.arguments import (
    EQUALS,
    WITHOUT,
    argument,
    default,
    is_falsy,
    is_other,
    is_truthy,
    parameters,
)
from offload_dev.lint.call_targets import CallTargets
from offload_dev.lint.callables import Callables
from offload_dev.lint.canvas import result_waits
from offload_dev.lint.deadlocks import Deadlocks
from offload_dev.lint.function import CallSite, Function, is_abstract
from offload_dev.lint.given import Given, affected
from offload_dev.lint.kept import is_kept, reads_cache
from offload_dev.lint.loop_functions import LoopFunctions
from offload_dev.lint.names import TO_THREAD
from offload_dev.lint.own_loops import run_by_sync_code
from offload_dev.lint.patterns import Patterns
from offload_dev.lint.receivers import Receivers
from offload_dev.lint.registry import RULES
from offload_dev.lint.resolver import Resolver
from offload_dev.lint.snippet import snippet
from offload_dev.lint.source import CodeScope, Def, Project
from offload_dev.lint.transactions import publications, service_calls
from offload_dev.lint.violations import ChainStep, Violation
from offload_dev.lint.visitor import visit

Find = Callable[[Function], Iterable[Violation]]
# What a call adds to the function that it calls: the function, the call, the caller.
FindAtCall = Callable[[Function, ast.Call, Function], Iterable[Violation]]

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
            for node in ast.walk(decorator.node)
        )


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
            self._own[function] = [
                _as_sure_as_its_block(found, function)._replace(
                    needs=tuple(function.parameters_needed(found.line))
                )
                for found in self._find(function)
                if not function.spares_loop(found.line)
            ]
        return self._own[function]

    def through_calls(self, function: Function) -> Iterator[Violation]:
        """The violations that a function comes to through its calls, each at the line of the call.

        The chain begins with that line. What an earlier line has put into a cache is no finding.
        """
        cached: set[ChainStep] = set()
        is_around = self._graph.targets.is_around
        for call, called in self._graph.called_on_same_thread(function):
            line = call.node.lineno
            step = ChainStep(function.scope, line, function.scope.label)
            for found in self.of_call(called, call.node, function):
                # What a decorator puts around a function may call each function that it decorates.
                if any(is_around(called.scope, each.scope) for each in found.chain[1:]):
                    continue
                if self._others_are_right(call, called, found):
                    owner = called.scope.owner or called.scope
                    found = found._replace(likely=f"right if this is no `{owner.label}`")
                elif self._graph.targets.may_be_other(call):
                    likely = found.likely or f"right if this is not `{called.scope.label}`"
                    found = found._replace(likely=likely)
                if function.spares_loop(line) or _keeps_result(call.node, found, function):
                    continue
                last = found.chain[-1]
                if last in cached:
                    continue
                if _is_always_run(call, function) and self._is_below_cache(last):
                    cached.add(last)
                needs = (*found.needs, *function.parameters_needed(line))
                at_call = found._replace(line=line, chain=(step, *found.chain), needs=needs)
                yield _as_sure_as_its_block(at_call, function)

    def of_transactions(self, function: Function) -> Iterator[tuple[CallSite, Violation]]:
        """What a function comes to inside of its transactions, each with the call in it."""
        atomic = {call.node.lineno: call for call in function.calls if call.atomic}
        if atomic:
            for found in (*self.own(function), *self.through_calls(function)):
                is_later = any(step.scope in self._graph.after_commit for step in found.chain)
                if found.line in atomic and not is_later:
                    yield atomic[found.line], found

    def _is_below_cache(self, step: ChainStep) -> bool:
        """Whether a line runs only if the cache has no value under a key that never changes."""
        function = self._graph.functions.get(step.scope)
        return function is not None and reads_cache(function, step.line)

    def _others_are_right(self, call: CallSite, called: Function, found: Violation) -> bool:
        """Whether a call of a method may run that of another class, which is right.

        An abstract method is that of any heir. Another one may be that of the class itself.
        """
        implementations = self._graph.targets.implementations(call)
        others = [self._graph.functions[each] for each in implementations]
        named = self._graph.function(call.origin)
        if named is not None and named is not called and _is_of_heir(called, named, call):
            others.append(named)
        return not found.likely and any(
            each.scope.on_loop or found.rule not in self.of_function(each)
            for each in others
            if not is_abstract(each.scope)
        )

    def of_call(
        self, called: Function, call: ast.Call | None, caller: Function
    ) -> Iterator[Violation]:
        """What a function comes to by itself, and by what this call gives it."""
        for found in self.of_function(called).values():
            if call is None:
                yield found._replace(needs=())
            elif met := _in_call(found, called, call, caller):
                yield met
        if call is not None and self._find_at_call is not None:
            for found in self._find_at_call(called, call, caller):
                yield found._replace(chain=(_step(called, found),))

    def first(self, function: Function) -> Violation | None:
        """The first violation that a plain function comes to."""
        return next(iter(self.of_function(function).values()), None)

    def of_function(self, function: Function) -> dict[str, Violation]:
        """What a plain function comes to: by the rule one violation, a certain one if it can be.

        Others of the rule follow which only run with a certain value of a parameter.

        The chain begins in the function itself.
        """
        if function not in self._reached:
            # A function that calls itself ends here.
            self._reached[function] = {}
            reached: dict[str, Violation] = {}
            for found in self.own(function):
                _keep(found._replace(chain=(_step(function, found),)), reached)
            for found in self.through_calls(function):
                _keep(found, reached)
            self._reached[function] = reached
        return self._reached[function]


def _is_of_heir(called: Function, named: Function, call: CallSite) -> bool:
    """Whether a call runs a method of an heir instead of the one that it names."""
    owners = called.scope.owner, named.scope.owner
    return None not in owners and called.scope.label.endswith(f".{call.method}")


def _as_sure_as_its_block(found: Violation, function: Function) -> Violation:
    return found._replace(likely=found.likely or function.why_unsure(found.line))


def _keep(found: Violation, reached: dict[str, Violation]) -> None:
    """Keep a violation of a function, unless a surer one of the same rule is known.

    One for each value of a parameter is kept, too: a call gives one of the values.
    """

    def doubts(each: Violation) -> tuple[bool, ...]:
        return bool(each.likely), each.near, bool(each.needs)

    values = [need for need in found.needs if EQUALS in need]
    for key in dict.fromkeys((found.rule, " ".join([found.rule, *values]))):
        known = reached.get(key)
        if known is None or doubts(found) < doubts(known):
            reached[key] = found


def _keeps_result(call: ast.Call, found: Violation, function: Function) -> bool:
    """Whether what a call creates lives long, where that makes the violation right."""
    rule = RULES.get(found.rule)
    return rule is not None and rule.once_is_right and is_kept(call, function)


def _in_call(
    found: Violation, called: Function, call: ast.Call, caller: Function
) -> Violation | None:
    """A violation of a function as one call of it meets it; None if its line does not run there.

    Its line may run only if a parameter has a value, a certain value, or none. The caller's own
    parameters that are passed on are needed instead.
    """
    node, needs, likely = called.scope.node, [], found.likely
    for need in found.needs if isinstance(node, Def) else ():
        assert isinstance(node, Def)
        name, _, values = need.removeprefix(WITHOUT).partition(EQUALS)
        value, by_default = argument(name, node, call)
        if values:
            if is_other(value, values):
                return None
            if isinstance(value, ast.Name) and value.id in parameters(caller.scope.node):
                needs.append(f"{value.id}{EQUALS}{values}")
        elif need == name:
            # `**options` may leave a parameter out.
            if value is None or is_falsy(value):
                return None
            if isinstance(value, ast.Name) and is_falsy(default(value.id, caller.scope.node)):
                needs.append(value.id)
        elif is_truthy(value) or _has_value(value, caller):
            return None
        elif isinstance(value, ast.Name) and value.id in parameters(caller.scope.node):
            needs.append(f"{WITHOUT}{value.id}")
            if not is_falsy(default(value.id, caller.scope.node)):
                likely = likely or f"right if `{value.id}` always has a value"
        elif not by_default and not is_falsy(value):
            given = snippet(value) if value is not None else name
            likely = likely or f"right if `{given}` always has a value"
    return found._replace(needs=tuple(needs), likely=likely)


def _has_value(value: ast.expr | None, caller: Function) -> bool:
    """Whether a value is a parameter that must be given, of a type without `None`: `code: str`."""
    match value:
        case ast.Name(id=name):
            annotation = parameters(caller.scope.node).get(name)
            is_optional = default(name, caller.scope.node) is not None
            return isinstance(annotation, ast.Name | ast.Attribute) and not is_optional
    return False


def _step(function: Function, found: Violation) -> ChainStep:
    return ChainStep(function.scope, found.line, function.scope.label)


def _runs_once(function: Function) -> bool:
    """Whether a cache keeps the result of a function without parameters."""
    arguments = getattr(function.scope.node, "args", None)
    is_same = arguments is not None and not any(ast.iter_child_nodes(arguments))
    return is_same and any(CACHES.matches(origin) for origin, _ in function.decorators)


def _is_always_run(call: CallSite, function: Function) -> bool:
    """Whether a call is a whole statement of a function, or gives a variable its value."""
    return any(
        isinstance(each, ast.Expr | ast.Assign | ast.AnnAssign) and each.value is call.node
        for each in function.scope.node.body
    )

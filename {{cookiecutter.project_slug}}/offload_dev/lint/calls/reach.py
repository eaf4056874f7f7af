"""What a function comes to: by its own lines, and through the functions that it calls."""

import ast
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from offload_dev.lint.calls.call_targets import CallTargets
from offload_dev.lint.calls.saved_fields import is_for_other_fields
from offload_dev.lint.checks.kept import is_kept, reads_cache
from offload_dev.lint.checks.registry import RULES
from offload_dev.lint.checks.violations import ChainStep, Violation
from offload_dev.lint.functions.function import CallSite, Function, is_abstract
from offload_dev.lint.source.arguments import (
    EQUALS,
    WITHOUT,
    argument,
    default,
    is_falsy,
    is_other,
    is_truthy,
    parameters,
)
from offload_dev.lint.source.nodes import Def
from offload_dev.lint.source.snippet import snippet
from offload_dev.lint.source.tree import CodeScope

Find = Callable[[Function], Iterable[Violation]]
# What a call adds to the function that it calls: the function, the call, the caller.
FindAtCall = Callable[[Function, ast.Call, Function], Iterable[Violation]]


class Graph(Protocol):
    """What `Reach` asks the call graph."""

    functions: dict[CodeScope, Function]
    targets: CallTargets

    @property
    def after_commit(self) -> set[CodeScope | None]:
        """The functions that run when a transaction has committed."""

    def called_on_same_thread(self, function: Function) -> list[tuple[CallSite, Function]]:
        """The calls of the project's plain functions that run on the caller's own thread."""

    def function(self, origin: str) -> Function | None:
        """The function of the project that an origin names."""


class Reach:
    """What a plain function comes to, by itself or through the functions that it calls.

    Args:
        find: the violations of one function.
        find_at_call: the violations that one call adds to the function that it calls.
    """

    def __init__(self, graph: Graph, find: Find, find_at_call: FindAtCall | None = None) -> None:
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
        reached, decided = self.of_function(called), set()
        for line, given in self._given(called, call, caller) if call is not None else ():
            decided.add(line)
            for found in self.of_function(given).values():
                step = ChainStep(called.scope, line, called.scope.label)
                yield found._replace(chain=(step, *found.chain), needs=())
        for found in reached.values():
            if call is None:
                yield found._replace(needs=())
            elif len(found.chain) > 1 and found.chain[0].line in decided:
                continue
            elif met := _in_call(found, called, call, caller):
                yield met
        if call is not None and self._find_at_call is not None:
            for found in self._find_at_call(called, call, caller):
                yield found._replace(chain=(_step(called, found),))

    def _given(
        self, called: Function, call: ast.Call, caller: Function
    ) -> Iterator[tuple[int, Function]]:
        """The lines that run what this call gives, where others give something else."""
        for site in called.calls_not_awaited:
            for given in self._graph.targets.given_by(site, called, call, caller):
                if not given.scope.on_loop:
                    yield site.node.lineno, given

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

    Its line may run only if a parameter has a value, a certain value, or none, or after a change of
    other fields than those that a `save` names. The caller's own parameters that are passed on are
    needed instead.
    """
    if is_for_other_fields(found.chain[0].line, called, call):
        return None
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


def _is_always_run(call: CallSite, function: Function) -> bool:
    """Whether a call is a whole statement of a function, or gives a variable its value."""
    return any(
        isinstance(each, ast.Expr | ast.Assign | ast.AnnAssign) and each.value is call.node
        for each in function.scope.node.body
    )

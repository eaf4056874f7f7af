"""What the calls of a project give to the parameters of its functions.

A parameter without a type has the one that all calls give it. So a row stays a row from the view
that fetched it to the function that reads it.
"""

import ast
from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol

from offload_dev.lint.calls.made_calls import Made, passes_on, with_arguments_of
from offload_dev.lint.functions.function import CallSite, Function
from offload_dev.lint.origins.joined import joined
from offload_dev.lint.origins.resolver import Resolver
from offload_dev.lint.source.arguments import (
    EQUALS,
    WITHOUT,
    argument,
    is_falsy,
    is_other,
    is_truthy,
)
from offload_dev.lint.source.names import TO_THREAD
from offload_dev.lint.source.nodes import Def
from offload_dev.lint.source.tree import Assigned, CodeScope

CONSTRUCTORS = ("__init__", "__new__")
DATACLASSES = ("dataclass", "define", "frozen", "attrs")
# More calls than this are not worth the time: one of them gives something that is not known.
MAX_CALLS = 30
# Sockets that are handed on are set not to block, as a rule.
MAY_NOT_BLOCK = "socket."
# A value is followed through this many functions that only pass it on.
MAX_STEPS = 4


class Targets(Protocol):
    """What `Given` asks about calls."""

    def of(self, call: CallSite, caller: Function) -> Iterable[Function]:
        """The functions that a call may run."""

    def is_around(self, inner: CodeScope, scope: CodeScope) -> bool:
        """Whether a decorator of the project returns an inner function for a function."""


class Given:
    """The values of parameters, by the calls that a first look at all functions has found.

    Args:
        functions: all functions, and the bodies of all modules.
        targets: finds the functions that a call runs; None before more is known.
    """

    def __init__(
        self, functions: Iterable[Function], resolver: Resolver, targets: Targets | None = None
    ) -> None:
        self._resolver, self._targets = resolver, targets
        self._calls: dict[CodeScope, list[Made]] = {}
        for function in functions:
            for call in function.calls:
                for called, node in self._called(call, function):
                    made = Made(node, function.scope, function.given)
                    self._calls.setdefault(called, []).append(made)
            for called, made in self._decorators(function.scope):
                self._calls.setdefault(called, []).append(made)
        self._calls = {
            scope: [each for made in calls for each in self._expanded(made)]
            for scope, calls in self._calls.items()
        }
        self._origins: dict[tuple[CodeScope, str], str] = {}
        for _ in range(MAX_STEPS):
            self._pass_on()

    def values(self, scope: CodeScope, name: str) -> list[Assigned]:
        """What the calls of a function give to a parameter, or to a field of a dataclass.

        Empty if one of the calls gives what the source does not say.
        """
        found = []
        calls = self._calls.get(scope, [])
        for made in calls if len(calls) <= MAX_CALLS else ():
            value = self._value(scope, name, made.call)
            if value is None:
                return []
            if not (isinstance(value, ast.Constant) and value.value is None):
                found.append(made.assigned(value))
        return found

    def is_never_true(self, scope: CodeScope, name: str) -> bool:
        """Whether all calls of a function, at least one, give nothing to a parameter.

        A name with `WITHOUT` before it is a parameter to which all calls give something, and one
        with `EQUALS` behind it is one to which all calls give other values than those that follow.
        """
        name, _, values = name.partition(EQUALS)
        if values:
            calls = self._calls.get(scope, [])
            return bool(calls) and all(
                is_other(self._value(scope, name, each.call), values) for each in calls
            )
        is_closed = is_truthy if name.startswith(WITHOUT) else is_falsy
        name = name.removeprefix(WITHOUT)
        calls = self._calls.get(scope, [])
        return bool(calls) and all(is_closed(self._value(scope, name, e.call)) for e in calls)

    def origin(self, scope: CodeScope, name: str) -> str:
        """The one origin that all calls of a function give to a parameter; else empty."""
        return self._origins.get((scope, name), "")

    @property
    def learned(self) -> set[tuple[CodeScope, str]]:
        """The functions and the parameters whose origin is known by their calls."""
        return set(self._origins)

    def _pass_on(self) -> None:
        """Read what each call gives, where the caller knows more than before."""
        for scope, calls in self._calls.items():
            for name in _names(scope) if len(calls) <= MAX_CALLS else ():
                is_new = (scope, name) not in self._origins
                if is_new and (origin := self._common(scope, name, calls)):
                    self._origins[scope, name] = origin

    def _common(self, scope: CodeScope, name: str, calls: list[Made]) -> str:
        found = ""
        for made in calls:
            value = self._value(scope, name, made.call)
            if isinstance(value, ast.Constant) and value.value is None:
                continue
            origin = made.origins.get(value, "") if value is not None else ""
            if not origin and isinstance(value, ast.Name):
                origin = self._origins.get((made.assigned(value).scope, value.id), "")
            found = joined(found or origin, origin)
            if not found or origin.startswith(MAY_NOT_BLOCK):
                return ""
        return found

    def _value(self, scope: CodeScope, name: str, call: ast.Call) -> ast.expr | None:
        if isinstance(scope.node, Def):
            return argument(name, scope.node, call).value
        fields = [each for each in scope.annotations if each not in scope.attributes]
        by_place = dict(zip(fields, call.args, strict=False))
        by_name = {keyword.arg: keyword.value for keyword in call.keywords}
        return by_name.get(name, by_place.get(name))

    def _expanded(self, made: Made, depth: int = 0) -> list[Made]:
        """The calls that `f(*args, **kwargs)` stands for, by the calls of the function around it.

        The call itself if these are not known.
        """
        outer = self._calls.get(made.scope, [])
        if depth >= MAX_STEPS or len(outer) > MAX_CALLS or not passes_on(made.call, made.scope):
            return [made]
        known = [each for call in outer for each in self._expanded(call, depth + 1)]
        return [with_arguments_of(each, made) for each in known] or [made]

    def _called(self, call: CallSite, caller: Function) -> Iterator[tuple[CodeScope, ast.Call]]:
        """The functions that a call gives its arguments to. Four cases:

        1. `f(1)`, and the constructor of a class.
        2. `sync_to_async(f)(1)`.
        3. `to_thread(f, 1)`, `run_in_executor(None, f, 1)` and `partial(f, 1)`.
        4. A callback, a method of an heir, what a decorator puts around a function.
        """
        node = call.node
        named = self._named(call.origin)
        if self._targets is not None:
            found = (each.scope for each in self._targets.of(call, caller))
            others = (each for each in found if each is not named)
            yield from ((each, self._without_self(node, each, caller)) for each in others)
        if (scope := named) is not None:
            yield scope, self._without_self(node, scope, caller)
        elif isinstance(node.func, ast.Call) and node.func in caller.calls_by_node:
            wrapper = caller.calls_by_node[node.func]
            is_wrapper = TO_THREAD.matches(wrapper.origin) and wrapper.arguments
            scope = self._named(wrapper.arguments[0]) if is_wrapper else None
            if scope is not None:
                yield scope, node
        elif TO_THREAD.matches(call.origin) or call.origin == "functools.partial":
            for place, origin in enumerate(call.arguments):
                if len(node.args) > place + 1 and (scope := self._named(origin)) is not None:
                    yield scope, ast.Call(node.func, node.args[place + 1 :], node.keywords)
                    return

    def _without_self(self, call: ast.Call, called: CodeScope, caller: Function) -> ast.Call:
        """A call in a decorator, `function(self, request)`, without the object of the method.

        `*args` may hold the object and others.
        """
        first = call.args[0] if call.args else None
        is_bound = called.owner is None or first is None or isinstance(first, ast.Starred)
        if is_bound or self._targets is None or not self._targets.is_around(caller.scope, called):
            return call
        return ast.Call(call.func, call.args[1:], call.keywords)

    def _named(self, origin: str) -> CodeScope | None:
        """The function of an origin; for a class its constructor, or the class with its fields."""
        scope = self._resolver.function(origin)
        owner = self._resolver.classes.scope(origin)
        if scope is not None or owner is None:
            return scope
        methods = (self._resolver.classes.method(origin, name) for name in CONSTRUCTORS)
        return next(filter(None, methods), owner if _is_dataclass(owner) else None)

    def _decorators(self, scope: CodeScope) -> Iterator[tuple[CodeScope, Made]]:
        """A decorator is called with the function below it."""
        around = scope.parent or scope
        for node in scope.node.decorator_list if isinstance(scope.node, Def) else ():
            called = self._resolver.function(self._resolver.origin(node, around))
            if called is not None and isinstance(scope.node, Def):
                name = ast.Name(scope.node.name, ast.Load())
                call = ast.Call(node, [name], [])
                yield called, Made(call, around, {name: scope.dotted})


def affected(
    learned: Iterable[tuple[CodeScope, str]],
    functions: Mapping[CodeScope, Function],
    resolver: Resolver,
) -> set[CodeScope]:
    """The functions that may do something else, now that these parameters are known. Three kinds:

    1. The functions of the parameters, and those inside of them.
    2. The methods of classes which keep such a value in an attribute.
    3. The callers of both, which get what they return.
    """
    found = {scope for scope, _ in learned}
    owners = {
        assigned.scope.owner
        for scope in found
        if scope.owner is not None
        for values in scope.owner.attributes.values()
        for assigned in values
        if assigned.scope is scope
    } | {scope for scope in found if not isinstance(scope.node, Def)}
    for owner in [*owners]:
        owners |= set(resolver.classes.heirs(owner.dotted)) if owner is not None else set()
    found |= {scope for scope in functions if scope.owner in owners or scope.parent in found}
    names = {scope.dotted for scope in (*found, *filter(None, owners))}
    found |= {
        scope
        for scope, function in functions.items()
        if any(call.origin in names for call in function.calls)
    }
    return found & functions.keys()


def _names(scope: CodeScope) -> list[str]:
    """The parameters of a function, or the fields of a dataclass."""
    if not isinstance(scope.node, Def):
        return list(scope.annotations)
    given = scope.node.args
    names = [each.arg for each in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
    return names[1:] if names[:1] in (["self"], ["cls"]) else names


def _is_dataclass(owner: CodeScope) -> bool:
    decorators = owner.node.decorator_list if isinstance(owner.node, ast.ClassDef) else ()
    return any(name in ast.unparse(each) for each in decorators for name in DATACLASSES)

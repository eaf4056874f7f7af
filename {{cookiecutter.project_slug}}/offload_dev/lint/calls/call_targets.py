"""Finds the functions of a project that a call may run."""

import ast
from collections.abc import Iterator, Mapping

from offload_dev.lint.calls.callables import Callables
from offload_dev.lint.calls.receivers import Receivers
from offload_dev.lint.functions.function import CallSite, Function, is_abstract
from offload_dev.lint.origins.hooks import hooks_of
from offload_dev.lint.origins.parameters import OPEN_TYPES
from offload_dev.lint.origins.resolver import Resolver
from offload_dev.lint.source.arguments import argument, parameters
from offload_dev.lint.source.classes import names_class
from offload_dev.lint.source.nodes import Def
from offload_dev.lint.source.tree import CodeScope

CONSTRUCTORS = ("__init__", "__post_init__")


class CallTargets:
    """The functions that calls may run.

    Args:
        functions: all functions of the project.
        callables: finds the functions that a value may be.
    """

    def __init__(
        self,
        functions: Mapping[CodeScope, Function],
        receivers: Receivers,
        callables: Callables,
        resolver: Resolver,
    ) -> None:
        self._functions, self._receivers = functions, receivers
        self._callables, self._resolver = callables, resolver
        self._known: dict[ast.Call, list[Function]] = {}
        self._wrappers: dict[CodeScope, list[CodeScope]] = {}
        self._values_called: dict[ast.Call, list[CodeScope]] = {}
        self._packages = {name.partition(".")[0] for name in resolver.project.modules}

    def of(self, call: CallSite, caller: Function) -> list[Function]:
        """The functions that a call may run."""
        if call.node not in self._known:
            self._known[call.node] = list(self._find(call, caller))
        return self._known[call.node]

    def _find(self, call: CallSite, caller: Function) -> Iterator[Function]:
        """The functions that a call may run. Nine cases:

        1. The function that the origin names.
        2. An abstract method is the method of an heir.
        3. `METHODS[name](…)` runs one of the functions of a table.
        4. The methods that create an instance of a class; of an instance, its `__call__`.
        5. `self.load()` runs the method of the class that the instance has, which may be an heir.
        6. `form.is_valid()` runs the form's own `clean` methods, and the like.
        7. What the decorators of these functions put around them.
        8. `signal.send()` runs the signal's receivers.
        9. `callback()` runs a function that was given as a value.
        """
        of_heirs = self.implementations(call)
        scopes = [*of_heirs, *self._of_table(call)] or [self._resolver.function(call.origin)]
        scopes += self._of_class(call, caller.scope)
        scopes += self._of_heirs(call, caller.scope)
        scopes += hooks_of(call.holder, call.method, self._resolver.classes)
        scopes += [each for scope in scopes if scope is not None for each in self._around(scope)]
        known = dict.fromkeys(scope for scope in scopes if scope is not None)
        yield from (self._functions[scope] for scope in known if scope in self._functions)
        if call.method in ("send", "send_robust"):
            yield from self._receivers.of(call.holder)
        if not known and self.is_of_project(call.origin):
            yield from self._of_value(call, caller)

    def is_of_project(self, origin: str) -> bool:
        """Whether an origin is not known, or names something of this project."""
        is_open = not origin or origin.startswith(OPEN_TYPES)
        return is_open or origin.partition(".")[0] in self._packages

    def may_be_other(self, call: CallSite) -> bool:
        """Whether a call runs one of several functions that were given as values."""
        return len(self._values_called.get(call.node, ())) > 1

    def given_by(
        self, call: CallSite, called: Function, by: ast.Call, caller: Function
    ) -> list[Function]:
        """The functions that one call of a function gives it, of which this line runs one.

        Empty if the line runs no parameter, or if it is not known what the call gives.
        """
        node, name = called.scope.node, getattr(call.node.func, "id", "")
        if not self.may_be_other(call) or not isinstance(node, Def) or name not in parameters(node):
            return []
        value = argument(name, node, by).value
        given = self._callables.of(value, caller.scope) if value is not None else ()
        return [self._functions[scope] for scope in given if scope in self._functions]

    def is_around(self, inner: CodeScope, scope: CodeScope) -> bool:
        """Whether a decorator of the project returns an inner function for a function."""
        return inner in self._around(scope)

    def implementations(self, call: CallSite) -> list[CodeScope]:
        """The methods of heirs that a call of an abstract method may run."""
        named = self._resolver.function(call.origin)
        if named is None or named.owner is None or not is_abstract(named):
            return []
        classes = self._resolver.classes
        heirs = (each.dotted for each in classes.heirs(named.owner.dotted))
        methods = dict.fromkeys(classes.method(heir, call.method) for heir in heirs)
        return [method for method in methods if method is not None and not is_abstract(method)]

    def _of_value(self, call: CallSite, caller: Function) -> Iterator[Function]:
        """The functions that a callback may be: a parameter, an attribute, an item."""
        if call.node not in self._values_called:
            found = self._callables.of(call.node.func, caller.scope)
            self._values_called[call.node] = sorted(found, key=lambda scope: scope.dotted)
        for scope in self._values_called[call.node]:
            if scope in self._functions:
                yield self._functions[scope]

    def _of_table(self, call: CallSite) -> Iterator[CodeScope | None]:
        """The functions of a dictionary or list at the top of a module."""
        if isinstance(call.node.func, ast.Name | ast.Subscript | ast.Call):
            yield from self._resolver.functions_of_table(call.origin.removesuffix(".get"))

    def _of_class(self, call: CallSite, caller: CodeScope) -> Iterator[CodeScope | None]:
        """The methods that a call of a class runs, or a call of its instance."""
        classes = self._resolver.classes
        if classes.scope(call.origin) is None:
            return
        called = classes.method(call.origin, "__call__")
        if called is not None and not names_class(call.node.func, call.origin, caller):
            yield called
            return
        for name in CONSTRUCTORS:
            yield classes.method(call.origin, name)

    def _around(self, scope: CodeScope) -> list[CodeScope]:
        """The inner functions that the decorators of the project return for a function."""
        if scope not in self._wrappers:
            decorators = (
                self._resolver.function(o) for o, _ in self._resolver.decorators.of(scope)
            )
            self._wrappers[scope] = [
                inner
                for each in decorators
                if each is not None
                for inner in self._returned_by(each)
            ]
        return self._wrappers[scope]

    def _returned_by(self, scope: CodeScope) -> list[CodeScope]:
        """The inner functions that a decorator returns, or a function that returns a decorator."""
        values = self._resolver.local_types.returned(scope, yields=False)
        named = (self._resolver.function(self._resolver.origin(each, scope)) for each in values)
        inner = [each for each in named if each is not None and each.parent is scope]
        return [last for each in inner for last in (self._returned_by(each) or [each])]

    def _of_heirs(self, call: CallSite, caller: CodeScope) -> Iterator[CodeScope | None]:
        """The methods that heirs of the caller's class run for a call of `self.name()`."""
        match call.node.func:
            case ast.Attribute(value=ast.Name(id="self"), attr=name) if caller.owner:
                classes = self._resolver.classes
                for heir in classes.heirs(caller.owner.dotted):
                    if classes.method(heir.dotted, caller.bare_name) is caller:
                        yield classes.method(heir.dotted, name)

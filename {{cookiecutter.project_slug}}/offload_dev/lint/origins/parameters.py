"""What the parameters of functions are: by annotations, by frameworks, by what calls give."""

import ast
from collections.abc import Callable
from typing import Protocol

from offload_dev.lint.origins.conventions import Conventions
from offload_dev.lint.origins.decorators import Decorators
from offload_dev.lint.settings.middleware import is_of_middleware
from offload_dev.lint.source.classes import Classes
from offload_dev.lint.source.names import REQUEST, REST_REQUEST
from offload_dev.lint.source.patterns import Patterns
from offload_dev.lint.source.tree import CodeScope

API_VIEWS = Patterns("{rest_framework,adrf}.decorators.api_view")
FRAMEWORKS = ("django.", "ninja", "rest_framework")
# Types that say nothing about what a value is.
OPEN_TYPES = ("typing.", "collections.abc.", "builtins.object")


class Names(Protocol):
    """What `Parameters` asks the resolver.

    Attributes:
        given: what the calls of the project give to parameters, once they are known.
    """

    classes: Classes
    conventions: Conventions
    decorators: Decorators
    given: Callable[[CodeScope, str], str] | None

    def origin(self, node: ast.expr | None, scope: CodeScope) -> str:
        """The origin of an expression."""

    def annotation(self, node: ast.expr | None, scope: CodeScope) -> str:
        """The origin of the type that an annotation names."""


class Parameters:
    """Finds the origins of parameters."""

    def __init__(self, names: Names) -> None:
        self._names = names

    def of(self, argument: ast.arg, default: ast.expr | None, scope: CodeScope) -> str:
        """The origin of a parameter: by its annotation, its name, or its default value."""
        if scope.owner is not None and argument.arg in ("self", "cls"):
            return scope.owner.dotted
        if argument.annotation is not None:
            named = self._names.annotation(argument.annotation, scope)
            is_open = not named or named.startswith(OPEN_TYPES)
            return self._given(argument, scope) if is_open else named
        if argument.arg == "request" and scope.module.uses(FRAMEWORKS):
            return self.request_of_view(scope)
        if argument.arg == "request" and is_of_middleware(scope):
            return REQUEST
        found = self._names.origin(default, scope) if isinstance(default, ast.Call) else ""
        found = found or self._names.conventions.parameter(scope, argument.arg)
        return found or self._given(argument, scope)

    def request_of_view(self, scope: CodeScope) -> str:
        """The origin of a view's request. REST framework has read its user before the handler."""
        lineage = self._names.classes.lineage(scope.owner.dotted) if scope.owner else ()
        if any(API_VIEWS.matches(origin) for origin, _ in self._names.decorators.of(scope)):
            return REST_REQUEST
        is_rest = any(base.startswith(("rest_framework.", "adrf.")) for base in lineage)
        return REST_REQUEST if is_rest else REQUEST

    def _given(self, argument: ast.arg, scope: CodeScope) -> str:
        return self._names.given(scope, argument.arg) if self._names.given is not None else ""

"""Resolves what an expression is to one dotted name, its origin.

The origin of `Path("x").read_text` is `pathlib.Path.read_text`.
"""

import ast
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any

from offload_dev.lint.origins import libraries
from offload_dev.lint.origins.call_results import CallResults
from offload_dev.lint.origins.containers import Containers
from offload_dev.lint.origins.conventions import Conventions
from offload_dev.lint.origins.decorators import Decorators
from offload_dev.lint.origins.dotted_names import DottedNames
from offload_dev.lint.origins.expressions import Expressions
from offload_dev.lint.origins.libraries import Library
from offload_dev.lint.origins.local_types import LocalTypes, Types
from offload_dev.lint.origins.models import Models
from offload_dev.lint.origins.parameters import Parameters
from offload_dev.lint.origins.queries import Queries
from offload_dev.lint.settings.celery_settings import CelerySettings
from offload_dev.lint.settings.project_facts import ProjectFacts
from offload_dev.lint.settings.settings_files import SettingsFiles
from offload_dev.lint.source import annotations
from offload_dev.lint.source.classes import Classes
from offload_dev.lint.source.names import REQUEST
from offload_dev.lint.source.numbers import number
from offload_dev.lint.source.project import Project
from offload_dev.lint.source.tree import CodeScope


class Resolver:
    """Follows names through imports, assignments, annotations, attributes and base classes.

    The origin of an instance is the one of its class, and the origin of a row that a query fetched
    is the model. The origin of a query begins with its model: `shop.models.Order.objects.filter`.
    The origin of what cannot be followed is the empty string, which no pattern matches.
    """

    def __init__(self, project: Project) -> None:
        self.project = project
        self.libraries = libraries.load(project.root)
        # Expressions that are being resolved. An expression that refers to itself ends here.
        self.pending: set[ast.AST] = set()
        # A project asks for the same origins again and again: the answers, by the question.
        self._functions: dict[str, CodeScope | None] = {}
        # The answers that others keep until more is known, by the function and the question.
        self.answers: dict[tuple[CodeScope, str], Any] = {}

        self._names = DottedNames(project, self)
        self.name, self.follow, self.resolve = self._names.of, self._names.follow, self._names.value
        self.origin = Expressions(self).origin
        self.classes = Classes(project, self.origin)
        self.decorators = Decorators(self.origin)
        self.models = Models(project, self.classes, self.origin)
        self.results = CallResults(self)
        self.queries = Queries(self.models, self.classes, self.results.of_named)
        self._parameters = Parameters(self)
        self.request_of_view = self._parameters.request_of_view
        self.local_types = LocalTypes(self.origin, self._parameters.of)
        self.containers = Containers(project, self.classes, self)
        self.conventions = Conventions(project, self.classes, self.resolve, self.queries.row)
        # What the calls of the project give to parameters, once they are known.
        self.given: Callable[[CodeScope, str], str] | None = None
        self.settings = SettingsFiles(project)
        self.facts = ProjectFacts(project)
        self.celery = CelerySettings(project, self.settings, self)
        self.models.read_relations()
        self._forget()

    def learn(self, given: Callable[[CodeScope, str], str]) -> None:
        """Take in what the calls of the project give to the parameters of its functions."""
        self.given = given
        self._forget()

    def _forget(self) -> None:
        """Forget what was answered before more was known."""
        self.classes.forget()
        self.models.forget()
        self.local_types.forget()
        self.queries.forget()
        self.results.forget()
        self._names.forget()
        self.decorators.forget()
        self._functions.clear()
        self.answers.clear()

    # Origins.

    def annotation(self, node: ast.expr | None, scope: CodeScope) -> str:
        """The origin of the type that an annotation names; empty if it names several."""
        named = annotations.single_type(node, lambda name: self.origin(name, scope))
        origin = self.origin(named, scope)
        if origin in annotations.SELF and (
            owner := scope.owner or self.classes.scope(scope.dotted)
        ):
            return owner.dotted
        return self._request(origin)

    def number(
        self,
        node: ast.expr | str | None,
        scope: CodeScope,
        local: dict[str, ast.expr] | None = None,
    ) -> int:
        """A number that is written here or at the top of a module; 1 if it is not known."""

        def value_of(name: ast.expr) -> ast.expr | None:
            if isinstance(name, ast.Name) and local and name.id in local:
                return local[name.id]
            holder, _, bare = self.origin(name, scope).rpartition(".")
            module = self.project.modules.get(holder)
            value = module.names.get(bare) if module else None
            return value if isinstance(value, ast.expr) else None

        return number(node, value_of) if isinstance(node, ast.expr) else 1

    # Functions.

    def function(self, origin: str) -> CodeScope | None:
        """The function of this project that an origin names.

        It may be a method of a base class or of a model's own manager.
        """
        if origin in self._functions:
            return self._functions[origin]

        scope = self.project.scopes.get(origin)
        if scope is None and "." in origin:
            owner, _, name = origin.rpartition(".")
            scope = self.classes.method(owner, name) or self.queries.method(owner, name)
        function = scope if scope and not isinstance(scope.node, ast.ClassDef) else None

        if not self.pending:
            self._functions[origin] = function
        return function

    def inherited(self, origin: str) -> list[str]:
        """The names of a method by the classes of libraries that may have it.

        `shop.views.OrderView.get_object` is `rest_framework.generics.GenericAPIView.get_object`.
        """
        owner, _, name = origin.rpartition(".")
        if self.classes.scope(owner) is None or self.classes.member(owner, name) is not None:
            return []
        bases = self.classes.lineage(owner)
        return [f"{base}.{name}" for base in bases if base and self.classes.scope(base) is None]

    def library(self, kind: str, origin: str) -> Library | None:
        """The library that has a call in a list, also by a class that a class here derives from.

        In `class Api(requests.Session)`, `self.get` is a call of requests.
        """
        names = (origin, *self.inherited(origin))
        return next(filter(None, (self.libraries.find(kind, name) for name in names)), None)

    def functions_of_table(self, origin: str) -> Iterator[CodeScope | None]:
        """The functions in a dictionary or list of this project: `{"csv": write_csv}`."""
        holder, _, name = origin.rpartition(".")
        module = self.project.modules.get(holder)
        match module and module.names.get(name):
            case ast.Dict(values=values) | ast.List(elts=values) | ast.Tuple(elts=values) if module:
                yield from (self.function(self.origin(value, module)) for value in values)

    def entered(self, origin: str) -> str:
        """The origin of `x` in `with origin as x`."""
        for name in ("__enter__", "__aenter__"):
            scope = self.classes.method(origin, name)
            if scope is not None:
                return self.results.of_function(scope, origin) or origin
        return origin

    def locals(self, scope: CodeScope) -> Types:
        """The origins of a function's parameters and variables, as far as they do not change."""
        return self.local_types.of(scope)

    @cached_property
    def kept_classes(self) -> set[str]:
        """The classes of the project with an instance that a module keeps: `client = Client()`."""
        made = (
            self.origin(value.func, module)
            for module in self.project.files
            for value in module.names.values()
            if isinstance(value, ast.Call)
        )
        return {origin for origin in made if self.classes.scope(origin) is not None}

    def parameters(self, scope: CodeScope) -> Types:
        """The origins of a function's parameters."""
        return self.local_types.parameters(scope)

    def _request(self, origin: str) -> str:
        """The one origin of requests, for a class that the project derives from `HttpRequest`."""
        is_own = self.classes.scope(origin) is not None
        return REQUEST if is_own and REQUEST in self.classes.lineage(origin) else origin

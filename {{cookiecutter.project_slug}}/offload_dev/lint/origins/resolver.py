"""Resolves what an expression is to one dotted name, its origin.

The origin of `Path("x").read_text` is `pathlib.Path.read_text`.
"""

import ast
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any

from offload_dev.lint.origins import libraries
from offload_dev.lint.origins.call_results import MAX_PENDING, CallResults
from offload_dev.lint.origins.containers import Containers, only
from offload_dev.lint.origins.conventions import Conventions
from offload_dev.lint.origins.decorators import Decorators
from offload_dev.lint.origins.libraries import Library
from offload_dev.lint.origins.local_types import LocalTypes, Types
from offload_dev.lint.origins.models import Models
from offload_dev.lint.origins.queries import Queries
from offload_dev.lint.settings.celery_settings import CelerySettings
from offload_dev.lint.settings.middleware import is_of_middleware
from offload_dev.lint.settings.project_facts import ProjectFacts
from offload_dev.lint.settings.settings_files import SettingsFiles
from offload_dev.lint.source import annotations
from offload_dev.lint.source.classes import Classes
from offload_dev.lint.source.names import REQUEST, REST_REQUEST, SIGNALS, TYPES
from offload_dev.lint.source.nodes import Def
from offload_dev.lint.source.numbers import number
from offload_dev.lint.source.patterns import Patterns
from offload_dev.lint.source.project import Project
from offload_dev.lint.source.tree import CodeScope, Module

CHANNELS_SESSION = "channels.sessions.session"
# Other names of the same things.
ALIASES = {
    "django.http.request.HttpRequest": REQUEST,
    "django.core.handlers.asgi.ASGIRequest": REQUEST,
    "django.core.handlers.wsgi.WSGIRequest": REQUEST,
    "django.db.models.manager.Manager": "django.db.models.Manager",
    "django.db.models.query.QuerySet": "django.db.models.QuerySet",
} | TYPES
API_VIEWS = Patterns("{rest_framework,adrf}.decorators.api_view")
FRAMEWORKS = ("django.", "ninja", "rest_framework")
# Types that say nothing about what a value is.
OPEN_TYPES = ("typing.", "collections.abc.", "builtins.object")
# Names are followed through this many modules and classes. It also ends circles of them.
MAX_DEPTH = 8


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
        self._attributes: dict[str, str] = {}
        # The answers that others keep until more is known, by the function and the question.
        self.answers: dict[tuple[CodeScope, str], Any] = {}

        self.classes = Classes(project, self.origin)
        self.decorators = Decorators(self.origin)
        self.models = Models(project, self.classes, self.origin)
        self.results = CallResults(self)
        self.queries = Queries(self.models, self.classes, self.results.of_named)
        self.local_types = LocalTypes(self.origin, self._parameter)
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
        for answers in (self._functions, self._attributes, self.answers):
            answers.clear()

    # Origins.

    def origin(
        self, node: ast.expr | None, scope: CodeScope, local: dict[str, str] | None = None
    ) -> str:
        """The origin of an expression in a scope.

        Args:
            local: the origins of the local variables that are known.
        """
        match node:
            case ast.Name(id=name):
                return local[name] if local and name in local else self._name(name, scope)
            case ast.Attribute(value=value, attr=attr):
                if attr == "request" and isinstance(value, ast.Name) and value.id == "self":
                    return self._request_of_view(scope)
                if attr in ("request", "context") and self.conventions.is_request(node, scope):
                    return REQUEST
                base = self.origin(value, scope, local)
                return self.follow(f"{base}.{attr}") if base else ""
            case ast.Await(value=value) | ast.NamedExpr(value=value) | ast.Starred(value=value):
                return self.origin(value, scope, local)
            case ast.Subscript():
                return self._item(node, scope, local)
            case ast.BinOp(left=left, op=ast.BitOr(), right=right):
                first = self.origin(left, scope, local)
                # The chain `prompt | model | parser` of LangChain does what its last part does.
                is_chain = first.startswith("langchain")
                return (self.origin(right, scope, local) if is_chain else "") or first
            case ast.BoolOp(values=values):
                return only(self.origin(value, scope, local) for value in values)
            case ast.IfExp(body=body, orelse=orelse):
                return only(self.origin(value, scope, local) for value in (body, orelse))
            case ast.Call():
                return self.results.of_call(node, scope, local)
        return ""

    def annotation(self, node: ast.expr | None, scope: CodeScope) -> str:
        """The origin of the type that an annotation names; empty if it names several."""
        named = annotations.single_type(node, lambda name: self.origin(name, scope))
        origin = self.origin(named, scope)
        if origin in annotations.SELF and (
            owner := scope.owner or self.classes.scope(scope.dotted)
        ):
            return owner.dotted
        return self._request(origin)

    def _item(self, node: ast.Subscript, scope: CodeScope, local: Types | None) -> str:
        """The origin of `rows[0]`, of `scope["user"]`, and of the type `QuerySet[Order]`."""
        if self.conventions.is_request(node, scope):
            return REQUEST
        known = self._of_scope(node, scope) or self.containers.element(node.value, scope, local)
        if known:
            return known
        base = self.origin(node.value, scope, local)
        if base.endswith((".QuerySet", ".Manager")):
            return f"{self.annotation(node.slice, scope)}.objects"
        return base

    def _of_scope(self, node: ast.Subscript, scope: CodeScope) -> str:
        """The user and the session of Channels: `self.scope["user"]`."""
        match node:
            case ast.Subscript(
                value=ast.Attribute(attr="scope") | ast.Name(id="scope"),
                slice=ast.Constant(value="user" | "session" as name),
            ) if scope.module.uses(("channels.",)):
                return self.models.user if name == "user" else CHANNELS_SESSION
        return ""

    def follow(self, origin: str, depth: int = 0) -> str:
        """Go on from a name that a module or class of this project only imports or assigns."""
        head, _, name = origin.rpartition(".")
        if depth > MAX_DEPTH or not head:
            return ALIASES.get(origin, origin)
        holder: CodeScope | None = self.project.modules.get(head)
        if holder is not None:
            return self._in_module(holder, name, origin, depth)
        if self.classes.scope(head) is not None:
            return self._of_instance(head, name, origin, depth)

        # A function's own imports and inner functions.
        holder = self.project.scopes.get(head)
        found = holder.names.get(name) if holder else None
        if isinstance(found, str) and found != origin:
            return self.follow(found, depth + 1)

        # The related rows of a row that a library defines, such as Django's user.
        related = self.models.target(head, name) if self.models.is_model(head) else ""
        return related or ALIASES.get(origin, origin)

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

    # Names, attributes and results.

    def _name(self, name: str, scope: CodeScope) -> str:
        here: CodeScope | None = scope
        while here is not None:
            # A function does not see the names of the class around it.
            is_visible = here is scope or not isinstance(here.node, ast.ClassDef)
            if name in here.names and is_visible:
                found = here.names[name]
                known = found if isinstance(found, str) else f"{here.dotted}.{name}"
                return self.follow(known)
            # A variable of the function around an inner function.
            if here is not scope and isinstance(here.node, Def) and name in self.locals(here):
                return self.locals(here)[name]
            if isinstance(here, Module) and (found := self._starred(here, name)):
                return found
            here = here.parent
        return f"builtins.{name}"

    def _starred(self, module: Module, name: str, depth: int = 0) -> str:
        """The origin of a name that `from … import *` may give to a module."""
        for star in module.stars:
            source = self.project.modules.get(star)
            if source is not None and source is not module:
                if name in source.names:
                    return self.follow(f"{star}.{name}", depth + 1)
                if depth <= MAX_DEPTH and (found := self._starred(source, name, depth + 1)):
                    return found
        return ""

    def _in_module(self, module: CodeScope, name: str, origin: str, depth: int) -> str:
        found = module.names.get(name)
        if isinstance(found, str):
            return found if found == origin else self.follow(found, depth + 1)
        value = self.resolve(found, module)
        if not value and name in module.annotations:
            value = self.annotation(module.annotations[name], module)
        if found is None and not value and isinstance(module, Module):
            value = self._starred(module, name, depth + 1)
        return self._instead_of(origin, value)

    def _instead_of(self, name: str, value: str) -> str:
        """The origin of a named value. A signal keeps its name: each has receivers of its own."""
        return name if not value or SIGNALS.matches(value) else value

    def _of_instance(self, owner: str, name: str, origin: str, depth: int) -> str:
        """The origin of an attribute, which its class, a base class or a method may give."""
        if origin not in self._attributes:
            # An attribute that refers to itself ends here.
            self._attributes[origin] = origin
            self._attributes[origin] = self._read_attribute(owner, name, origin, depth)
        return self._attributes[origin]

    def _read_attribute(self, owner: str, name: str, origin: str, depth: int) -> str:
        # 1. A method, an inner class or an import. A property gives what it returns.
        found = self.classes.member(owner, name)
        if found and isinstance(found.value, str):
            scope = self.project.scopes.get(found.value)
            if scope is not None and isinstance(scope.node, Def):
                return (
                    self.results.of_function(scope, owner) or origin
                    if self.decorators.is_property(scope)
                    else origin
                )
            return found.value if found.value == origin else self.follow(found.value, depth + 1)

        # 2. A relation of a model.
        if related := self.models.target(owner, name):
            return related
        if self.models.rows(owner, name) is not None:
            return origin

        # 3. A type in the source, or values that all have the same origin.
        annotated = self.classes.annotation(owner, name)
        if annotated and (named := self.annotation(*annotated)):
            return named
        values = [self.resolve(found.value, found.scope)] if found else []
        values += [
            self.resolve(each.value, each.scope, self.locals(each.scope))
            for each in self.classes.assigned(owner, name)
        ]
        return (
            self._instead_of(origin, only(values))
            if values
            else (self.conventions.attribute(owner, name) or origin)
        )

    def resolve(
        self, value: ast.expr | str | None, scope: CodeScope, local: Types | None = None
    ) -> str:
        """The origin of a value, which may refer to itself."""
        if not isinstance(value, ast.expr) or value in self.pending:
            return ""
        if len(self.pending) > MAX_PENDING:
            return ""
        self.pending.add(value)
        origin = self.origin(value, scope, local)
        self.pending.discard(value)
        return origin

    def _parameter(self, argument: ast.arg, default: ast.expr | None, scope: CodeScope) -> str:
        """The origin of a parameter: by its annotation, its name, or its default value."""
        if scope.owner is not None and argument.arg in ("self", "cls"):
            return scope.owner.dotted
        if argument.annotation is not None:
            named = self.annotation(argument.annotation, scope)
            is_open = not named or named.startswith(OPEN_TYPES)
            return self._given(argument, scope) if is_open else named
        if argument.arg == "request" and scope.module.uses(FRAMEWORKS):
            return self._request_of_view(scope)
        if argument.arg == "request" and is_of_middleware(scope):
            return REQUEST
        found = self.origin(default, scope) if isinstance(default, ast.Call) else ""
        found = found or self.conventions.parameter(scope, argument.arg)
        return found or self._given(argument, scope)

    def _given(self, argument: ast.arg, scope: CodeScope) -> str:
        return self.given(scope, argument.arg) if self.given is not None else ""

    def _request_of_view(self, scope: CodeScope) -> str:
        """The origin of a view's request. REST framework has read its user before the handler."""
        lineage = self.classes.lineage(scope.owner.dotted) if scope.owner else ()
        if any(API_VIEWS.matches(origin) for origin, _ in self.decorators.of(scope)):
            return REST_REQUEST
        is_rest = any(base.startswith(("rest_framework.", "adrf.")) for base in lineage)
        return REST_REQUEST if is_rest else REQUEST

    def _request(self, origin: str) -> str:
        """The one origin of requests, for a class that the project derives from `HttpRequest`."""
        is_own = self.classes.scope(origin) is not None
        return REQUEST if is_own and REQUEST in self.classes.lineage(origin) else origin

"""Follows dotted names through the imports, assignments, classes and attributes of a project."""

import ast
from typing import Protocol

from offload_dev.lint.origins.call_results import MAX_PENDING, CallResults
from offload_dev.lint.origins.containers import only
from offload_dev.lint.origins.conventions import Conventions
from offload_dev.lint.origins.decorators import Decorators
from offload_dev.lint.origins.local_types import Types
from offload_dev.lint.origins.models import Models
from offload_dev.lint.source.classes import Classes
from offload_dev.lint.source.names import REQUEST, SIGNALS, TYPES
from offload_dev.lint.source.nodes import Def
from offload_dev.lint.source.project import Project
from offload_dev.lint.source.tree import CodeScope, Module

# Other names of the same things.
ALIASES = {
    "django.http.request.HttpRequest": REQUEST,
    "django.core.handlers.asgi.ASGIRequest": REQUEST,
    "django.core.handlers.wsgi.WSGIRequest": REQUEST,
    "django.db.models.manager.Manager": "django.db.models.Manager",
    "django.db.models.query.QuerySet": "django.db.models.QuerySet",
} | TYPES
# Names are followed through this many modules and classes. It also ends circles of them.
MAX_DEPTH = 8


class Names(Protocol):
    """What `DottedNames` asks the resolver.

    Attributes:
        pending: the expressions and functions that are being resolved. What refers to itself ends
            there.
    """

    classes: Classes
    conventions: Conventions
    decorators: Decorators
    models: Models
    pending: set[ast.AST]
    results: CallResults

    def origin(self, node: ast.expr | None, scope: CodeScope, local: Types | None = None) -> str:
        """The origin of an expression."""

    def annotation(self, node: ast.expr | None, scope: CodeScope) -> str:
        """The origin of the type that an annotation names."""

    def locals(self, scope: CodeScope) -> Types:
        """The origins of a function's parameters and variables."""


class DottedNames:
    """Finds what a name stands for in the end: `shop.views.client` may be `redis.Redis`."""

    def __init__(self, project: Project, names: Names) -> None:
        self._project, self._names = project, names
        # A project asks for the same attributes again and again: the answers, by the question.
        self._attributes: dict[str, str] = {}

    def forget(self) -> None:
        """Ask everything again, since more origins are known now."""
        self._attributes.clear()

    def of(self, name: str, scope: CodeScope) -> str:
        """The origin of a name, as a scope sees it."""
        here: CodeScope | None = scope
        while here is not None:
            # A function does not see the names of the class around it.
            is_visible = here is scope or not isinstance(here.node, ast.ClassDef)
            if name in here.names and is_visible:
                found = here.names[name]
                known = found if isinstance(found, str) else f"{here.dotted}.{name}"
                return self.follow(known)
            # A variable of the function around an inner function.
            if here is not scope and isinstance(here.node, Def):
                local = self._names.locals(here)
                if name in local:
                    return local[name]
            if isinstance(here, Module) and (found := self._starred(here, name)):
                return found
            here = here.parent
        return f"builtins.{name}"

    def follow(self, origin: str, depth: int = 0) -> str:
        """Go on from a name that a module or class of this project only imports or assigns."""
        head, _, name = origin.rpartition(".")
        if depth > MAX_DEPTH or not head:
            return ALIASES.get(origin, origin)
        holder: CodeScope | None = self._project.modules.get(head)
        if holder is not None:
            return self._in_module(holder, name, origin, depth)
        if self._names.classes.scope(head) is not None:
            return self._of_instance(head, name, origin, depth)

        # A function's own imports and inner functions.
        holder = self._project.scopes.get(head)
        found = holder.names.get(name) if holder else None
        if isinstance(found, str) and found != origin:
            return self.follow(found, depth + 1)

        # The related rows of a row that a library defines, such as Django's user.
        models = self._names.models
        related = models.target(head, name) if models.is_model(head) else ""
        return related or ALIASES.get(origin, origin)

    def value(
        self, value: ast.expr | str | None, scope: CodeScope, local: Types | None = None
    ) -> str:
        """The origin of a value, which may refer to itself."""
        pending = self._names.pending
        if not isinstance(value, ast.expr) or value in pending or len(pending) > MAX_PENDING:
            return ""
        pending.add(value)
        origin = self._names.origin(value, scope, local)
        pending.discard(value)
        return origin

    def _starred(self, module: Module, name: str, depth: int = 0) -> str:
        """The origin of a name that `from … import *` may give to a module."""
        for star in module.stars:
            source = self._project.modules.get(star)
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
        value = self.value(found, module)
        if not value and name in module.annotations:
            value = self._names.annotation(module.annotations[name], module)
        if found is None and not value and isinstance(module, Module):
            value = self._starred(module, name, depth + 1)
        return _instead_of(origin, value)

    def _of_instance(self, owner: str, name: str, origin: str, depth: int) -> str:
        """The origin of an attribute, which its class, a base class or a method may give."""
        if origin not in self._attributes:
            # An attribute that refers to itself ends here.
            self._attributes[origin] = origin
            self._attributes[origin] = self._read_attribute(owner, name, origin, depth)
        return self._attributes[origin]

    def _read_attribute(self, owner: str, name: str, origin: str, depth: int) -> str:
        # 1. A method, an inner class or an import. A property gives what it returns.
        names = self._names
        found = names.classes.member(owner, name)
        if found and isinstance(found.value, str):
            scope = self._project.scopes.get(found.value)
            if scope is not None and isinstance(scope.node, Def):
                is_property = names.decorators.is_property(scope)
                return (names.results.of_function(scope, owner) if is_property else "") or origin
            return found.value if found.value == origin else self.follow(found.value, depth + 1)

        # 2. A relation of a model.
        if related := names.models.target(owner, name):
            return related
        if names.models.rows(owner, name) is not None:
            return origin

        # 3. A type in the source, or values that all have the same origin.
        annotated = names.classes.annotation(owner, name)
        if annotated and (named := names.annotation(*annotated)):
            return named
        values = [self.value(found.value, found.scope)] if found else []
        values += [
            self.value(each.value, each.scope, names.locals(each.scope))
            for each in names.classes.assigned(owner, name)
        ]
        if values:
            return _instead_of(origin, only(values))
        return names.conventions.attribute(owner, name) or origin


def _instead_of(name: str, value: str) -> str:
    """The origin of a named value. A signal keeps its name: each has receivers of its own."""
    return name if not value or SIGNALS.matches(value) else value

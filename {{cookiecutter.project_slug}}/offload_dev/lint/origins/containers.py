"""What the items of lists, dictionaries and other containers are."""

import ast
from collections.abc import Iterable
from functools import reduce
from typing import Protocol

from offload_dev.lint.origins.joined import joined
from offload_dev.lint.origins.local_types import Types
from offload_dev.lint.source import annotations
from offload_dev.lint.source.classes import Classes
from offload_dev.lint.source.nodes import Def
from offload_dev.lint.source.project import Project
from offload_dev.lint.source.tree import Assigned, CodeScope


class Names(Protocol):
    """What `Containers` asks the resolver."""

    def origin(self, node: ast.expr | None, scope: CodeScope, local: Types | None = None) -> str:
        """The origin of an expression."""

    def annotation(self, node: ast.expr | None, scope: CodeScope) -> str:
        """The origin of the type that an annotation names."""

    def resolve(
        self, value: ast.expr | str | None, scope: CodeScope, local: Types | None = None
    ) -> str:
        """The origin of a value, which may refer to itself."""

    def function(self, origin: str) -> CodeScope | None:
        """The function of this project that an origin names."""

    def locals(self, scope: CodeScope) -> Types:
        """The origins of a function's parameters and variables."""


class Containers:
    """Finds what the items of a container are: an annotation says it, or what is assigned."""

    def __init__(self, project: Project, classes: Classes, names: Names) -> None:
        self._project, self._classes, self._names = project, classes, names
        # The first items of the containers that are being asked.
        self._pending: set[ast.expr] = set()

    def element(self, node: ast.expr, scope: CodeScope, local: Types | None = None) -> str:
        """The origin of the items of a container; empty if not known."""
        match node:
            case ast.Attribute(value=value, attr=name):
                owner = self._names.origin(value, scope, local)
                annotated = self._classes.annotation(owner, name)
                assigned = self._classes.elements(owner, name)
            case ast.Name(id=name):
                annotation = _annotation_of_local(name, scope)
                annotated = (annotation, scope) if annotation is not None else None
                is_local = local is not None and name in local
                assigned = [] if is_local else scope.module.elements.get(name, [])
                if not (is_local or annotated or assigned):
                    return self._of_table(self._names.origin(node, scope))
            case ast.Call(func=ast.Attribute(value=base, attr="__subclasses__")):
                # What is called on one of them may be called on each.
                return self._names.origin(base, scope, local)
            case ast.Call(func=called):
                function = self._names.function(self._names.origin(called, scope, local))
                returns = getattr(function.node, "returns", None) if function else None
                annotated, assigned = (returns, function) if function and returns else None, []
            case ast.Await(value=value):
                return self.element(value, scope, local)
            case _:
                return ""
        if annotated and (kind := annotations.element_type(annotated[0])) is not None:
            return self._names.annotation(kind, annotated[1])
        return self._of_assigned(assigned)

    def _of_assigned(self, items: list[Assigned]) -> str:
        """The one origin of the items that lines put into a container.

        Items that are made of other items of their container say nothing of it. To follow them in
        all orders would take years for twenty of them.
        """
        first = items[0].value if items else None
        if first is None or first in self._pending:
            return ""
        self._pending.add(first)
        found = only(
            self._names.resolve(each.value, each.scope, self._names.locals(each.scope))
            for each in items
        )
        self._pending.discard(first)
        return found

    def _of_table(self, origin: str) -> str:
        """The one class of the values of a table: `{"dhl": Dhl(), "ups": Ups()}`; else empty.

        It may be a base class that all of them have.
        """
        holder, _, name = origin.rpartition(".")
        module = self._project.modules.get(holder)
        match module and module.names.get(name):
            case ast.Dict(values=[_, *_] as values) | ast.List(elts=[_, *_] as values) if module:
                found = [self._names.resolve(value, module) for value in values]
            case _:
                return ""
        if not all(self._classes.scope(each) is not None for each in found):
            return ""
        lineages = [self._classes.lineage(each) for each in found]
        common = (each for each in lineages[0] if all(each in others for others in lineages))
        return next((each for each in common if self._classes.scope(each) is not None), "")


def _annotation_of_local(name: str, scope: CodeScope) -> ast.expr | None:
    """The annotation of a parameter or of a variable at the top of the module."""
    given = scope.node.args if isinstance(scope.node, Def) else None
    named = [*given.posonlyargs, *given.args, *given.kwonlyargs] if given else []
    found = next((each.annotation for each in named if each.arg == name), None)
    return found or scope.module.annotations.get(name)


def only(origins: Iterable[str]) -> str:
    """The one origin that all of these have, as far as it is known; empty if there are several."""
    known = [origin for origin in origins if origin]
    return reduce(joined, known) if known else ""

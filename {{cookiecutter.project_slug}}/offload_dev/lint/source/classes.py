"""The classes of a project: their bases, and what they and their bases hold."""

import ast
import re
from collections.abc import Callable
from typing import NamedTuple

from offload_dev.lint.source.nodes import Def
from offload_dev.lint.source.patterns import Patterns
from offload_dev.lint.source.project import Project
from offload_dev.lint.source.tree import Assigned, CodeScope

# A class has fewer base classes, near and far. A longer chain of them is cut off here.
MAX_BASES = 300

NAME_OF_CLASS = re.compile(r"(^|_)cls$|class|type|factory", re.IGNORECASE)
ROWS_AS_TYPES = Patterns("{strawberry_django,strawberry.django,strawberry_django_plus.gql}*.type")

Origin = Callable[[ast.expr | None, CodeScope], str]


class Member(NamedTuple):
    """What a class holds by a name, and the class of the project that says so."""

    value: str | ast.expr
    scope: CodeScope


class Classes:
    """Looks names up in classes and their base classes.

    Args:
        origin: finds where the name of a base class comes from.

    Attributes:
        scope: finds the class of this project that an origin names; None if it names no class.
    """

    def __init__(self, project: Project, origin: Origin) -> None:
        self._project, self._origin = project, origin
        self.scope: Callable[[str], CodeScope | None] = project.classes.get
        self._lineages: dict[str, list[str]] = {}
        # How many classes are being read, whose bases are not known to their end.
        self._reading = 0
        # A project asks for the same members again and again: the answers, by the question.
        self._members: dict[tuple[str, str], Member | None] = {}
        self._children: dict[str, list[CodeScope]] | None = None

    def lineage(self, origin: str) -> list[str]:
        """A class and all its base classes, nearest first. Those of libraries are their ends."""
        if origin not in self._lineages:
            # A class that is its own base class ends here.
            self._lineages[origin] = [origin]
            self._reading += 1
            self._lineages[origin] = self._read_lineage(origin)
            self._reading -= 1
        return self._lineages[origin]

    def forget(self) -> None:
        """Read all base classes again, since more origins are known now."""
        self._lineages.clear()
        self._members.clear()

    def is_a(self, origin: str, bases: Patterns) -> bool:
        """Whether a class, or one of its base classes, has one of these names."""
        return any(map(bases.matches, self.lineage(origin)))

    def member(self, owner: str, name: str) -> Member | None:
        """What a class of this project, or one of its base classes, holds by a name."""
        key = owner, name
        if key in self._members:
            return self._members[key]
        scopes = filter(None, map(self.scope, self.lineage(owner)))
        found = next((Member(e.names[name], e) for e in scopes if name in e.names), None)
        if not self._reading:
            self._members[key] = found
        return found

    def annotation(self, owner: str, name: str) -> tuple[ast.expr, CodeScope] | None:
        """The type that a class or one of its base classes gives to an attribute."""
        for each in self.lineage(owner):
            scope = self.scope(each)
            if scope is not None and name in scope.annotations:
                return scope.annotations[name], scope
        return None

    def assigned(self, owner: str, name: str) -> list[Assigned]:
        """What the methods of a class and its base classes assign to an attribute of `self`."""
        scopes = filter(None, map(self.scope, self.lineage(owner)))
        return [each for scope in scopes for each in scope.attributes.get(name, ())]

    def elements(self, owner: str, name: str) -> list[Assigned]:
        """What the methods of a class and its base classes assign to the items of an attribute."""
        scopes = filter(None, map(self.scope, self.lineage(owner)))
        return [each for scope in scopes for each in scope.elements.get(name, ())]

    def method(self, owner: str, name: str) -> CodeScope | None:
        """The method that instances of a class have by a name."""
        found = self.member(owner, name)
        name_of = found.value if found is not None and isinstance(found.value, str) else ""
        scope = self._project.scopes.get(name_of)
        return scope if scope is not None and isinstance(scope.node, Def) else None

    def method_names(self, owner: str) -> list[str]:
        """The names that a class of this project, and its base classes in it, bind."""
        scopes = filter(None, map(self.scope, self.lineage(owner)))
        return list(dict.fromkeys(name for scope in scopes for name in scope.names))

    def heirs(self, owner: str) -> list[CodeScope]:
        """The classes of this project that inherit from a class, directly or not."""
        if self._children is None:
            self._children = {}
            for scope in self._project.classes.values():
                for base in self.lineage(scope.dotted)[1:]:
                    self._children.setdefault(base, []).append(scope)
        return self._children.get(owner, [])

    def _read_lineage(self, origin: str) -> list[str]:
        scope = self.scope(origin)
        if scope is None or not isinstance(scope.node, ast.ClassDef):
            return [origin]
        around = scope.parent or scope
        bases = [self._origin(_without_types(base), around) for base in scope.node.bases]

        # `Manager.from_queryset(OrderQuerySet)` has the methods of both.
        calls = (base for base in scope.node.bases if isinstance(base, ast.Call))
        bases += [self._origin(argument, around) for call in calls for argument in call.args]

        # `@strawberry_django.type(Order)`: the instances are rows.
        decorators = (each for each in scope.node.decorator_list if isinstance(each, ast.Call))
        for each in decorators:
            if each.args and ROWS_AS_TYPES.matches(self._origin(each.func, around)):
                bases.append(self._origin(each.args[0], around))

        lineages = (self.lineage(base) for base in bases)
        found = dict.fromkeys(each for lineage in lineages for each in lineage if each)
        return [origin, *(each for each in found if each != origin)][:MAX_BASES]


def names_class(node: ast.expr, origin: str, scope: CodeScope) -> bool:
    """Whether an expression is a class itself. The origin of an instance is the same.

    Its name says so, or the name by which it was imported.
    """
    named = node.func if isinstance(node, ast.Call) else node
    name = getattr(named, "id", getattr(named, "attr", ""))
    imported = scope.module.names.get(name)
    name = imported.rpartition(".")[2] if isinstance(imported, str) else name
    is_class = name == origin.rpartition(".")[2] and named is node
    return is_class or NAME_OF_CLASS.search(name) is not None


def _without_types(base: ast.expr) -> ast.expr:
    """`Generic` of `Generic[T]`."""
    return base.value if isinstance(base, ast.Subscript) else base

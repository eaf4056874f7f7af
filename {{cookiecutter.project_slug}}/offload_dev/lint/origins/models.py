"""Django's models as their source tells them: relations, managers and queries."""

import ast
from functools import cached_property
from typing import NamedTuple

from offload_dev.lint.source.classes import Classes, Origin
from offload_dev.lint.source.names import MANAGER_BASES, MODEL_BASES, ORM, USER_BASES
from offload_dev.lint.source.project import Project
from offload_dev.lint.source.tree import CodeScope

USER = "django.contrib.auth.models.User"
TO_ONE = ("ForeignKey", "OneToOneField", "ParentalKey", "TreeForeignKey")
# The row of a generic relation may be of any model.
TO_ANY = ("GenericForeignKey",)
ANY_ROW = "django.db.models.Model"
# What a user's row reaches by `PermissionsMixin`.
OF_USERS = {
    "groups": "django.contrib.auth.models.Group",
    "user_permissions": "django.contrib.auth.models.Permission",
}
TO_MANY = ("ManyToManyField", "ParentalManyToManyField", "GenericRelation")
# A column in the class's own body makes it a model, whatever its base class is.
COLUMNS = ("models.CharField", "models.TextField", "models.IntegerField", "models.DateTimeField")
WITHOUT_ROWS = {"values", "values_list", "dates", "datetimes"}


class Query(NamedTuple):
    """A query.

    Args:
        model: the model of its rows; empty if that is not known.
        manager: the origin of the manager that it begins with.
        methods: the methods called on the manager.
    """

    model: str
    manager: str
    methods: tuple[str, ...]


class Models:
    """Answers questions about models and queries.

    Args:
        origin: finds where an expression comes from.
    """

    def __init__(self, project: Project, classes: Classes, origin: Origin) -> None:
        self._project, self._classes, self._origin = project, classes, origin
        # A project asks for the same origins again and again: the answers, by the question.
        self._queries: dict[str, Query | None] = {}
        self._models: dict[str, bool] = {}
        # By the model and the attribute's name: the managers by which rows reach the rows that
        # refer to them, and the attributes by which they reach the one row.
        self._managers_back: dict[tuple[str, str], str] = {}
        self._rows_back: dict[tuple[str, str], str] = {}

    def forget(self) -> None:
        """Ask everything again, since more origins are known now."""
        self._queries.clear()
        self._models.clear()

    # Models and their relations.

    def is_model(self, origin: str) -> bool:
        """Whether this is a model."""
        if origin not in self._models:
            self._models[origin] = any(map(self._is_model_by_itself, self._classes.lineage(origin)))
        return self._models[origin]

    def target(self, model: str, name: str) -> str:
        """The model whose row an attribute of a row is; empty if it is no relation."""
        found = self._classes.member(model, name)
        if found and _is_call(found.value, TO_ANY):
            return ANY_ROW
        if found and _is_call(found.value, TO_ONE):
            return self._named(found.value, found.scope)
        lineage = self._classes.lineage(model) if self._rows_back else ()
        return next((self._rows_back[m, name] for m in lineage if (m, name) in self._rows_back), "")

    def is_relation(self, model: str, name: str) -> bool:
        """Whether `name` is a relation to one row of another model."""
        return bool(self.target(model, name))

    @cached_property
    def user(self) -> str:
        """The model of users."""
        found = [
            scope.dotted
            for scope in self._project.classes.values()
            if self._classes.is_a(scope.dotted, USER_BASES) and not is_abstract_model(scope)
        ]
        return found[0] if len(found) == 1 else USER

    def named(self, name: str) -> str:
        """The model of a name such as `shop.Order`; empty if no model or several have it."""
        app, _, bare = name.rpartition(".")
        found = self._by_name.get(bare.lower(), [])
        if len(found) > 1:
            found = [each for each in found if app in each.split(".")]
        return found[0] if len(found) == 1 else ""

    # Queries.

    def query(self, origin: str) -> Query | None:
        """The model of a query, and the methods called on it; None if this is no query."""
        if origin not in self._queries:
            self._queries[origin] = self._read_query(origin)
        return self._queries[origin]

    def rows(self, model: str, name: str) -> str | None:
        """The model of the rows of a manager or of a relation to many; None if it is neither."""
        found = self._classes.member(model, name)
        if found is not None:
            if _is_call(found.value, TO_MANY):
                return self._named(found.value, found.scope)
            return model if self.manager_classes(model, name) else None
        if name in ORM["managers"]:
            # An object may have a list of this name: `self.objects = []`.
            is_plain = self._classes.assigned(model, name) and not self.is_model(model)
            return None if is_plain else model
        for each in self._classes.lineage(model):
            if (each, name) in self._managers_back:
                return self._managers_back[each, name]
        if name.endswith("_set") and self.is_model(model):
            return self.named(name.removesuffix("_set"))
        return OF_USERS[name] if name in OF_USERS and self._is_user(model) else None

    def to_many(self, model: str) -> list[str]:
        """The relations to many rows that a model itself declares."""
        scopes = filter(None, map(self._classes.scope, self._classes.lineage(model)))
        return [n for scope in scopes for n, v in scope.names.items() if _is_call(v, TO_MANY)]

    def _is_user(self, model: str) -> bool:
        return model == self.user or self._classes.is_a(model, USER_BASES)

    def manager_classes(self, model: str, name: str) -> list[str]:
        """The classes of a model's manager, as `objects = OrderManager()` gives them."""
        found = self._classes.member(model, name)
        value = found.value if found else None
        if found is None or not isinstance(value, ast.Call):
            return []
        # `Manager.from_queryset(OrderQuerySet)()`: the methods are those of both.
        made = value.func if isinstance(value.func, ast.Call) else value
        parts = [made.func, *made.args] if made is not value else [made.func]
        names = [self._origin(part, found.scope) for part in parts]
        names = [name.removesuffix(".as_manager").removesuffix(".from_queryset") for name in names]
        return [name for name in names if self.is_manager(name)]

    def is_manager(self, origin: str) -> bool:
        """Whether a class is a manager or a queryset."""
        return self._classes.is_a(origin, MANAGER_BASES)

    def _read_query(self, origin: str) -> Query | None:
        holder, dot, name = origin.rpartition(".")
        if dot:
            if (query := self.query(holder)) is not None:
                return query._replace(methods=(*query.methods, name))
            if (rows := self.rows(holder, name)) is not None:
                return Query(rows, origin, ())
        return Query("", origin, ()) if self.is_manager(origin) else None

    # What all models of the project say together.

    @cached_property
    def names_of_managers(self) -> set[str]:
        """The names by which rows of this project reach many other rows."""
        return {name for _, name in self._managers_back} | {
            name
            for scope in self._project.scopes.values()
            for name, value in scope.names.items()
            if _is_call(value, TO_MANY)
        }

    @cached_property
    def _by_name(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for scope in self._project.scopes.values():
            if isinstance(scope.node, ast.ClassDef) and self.is_model(scope.dotted):
                found.setdefault(scope.node.name.lower(), []).append(scope.dotted)
        return found

    def read_relations(self) -> None:
        """Read by which names rows reach the rows that refer to them."""
        to_many = ("ForeignKey", "ParentalKey", "TreeForeignKey", *TO_MANY)
        managers, rows = self._read_back(to_many, "_set"), self._read_back(("OneToOneField",), "")
        self._managers_back, self._rows_back = managers, rows

    def _read_back(self, kinds: tuple[str, ...], ending: str) -> dict[tuple[str, str], str]:
        """By the model and the attribute: the model of the rows that refer to it.

        Args:
            ending: what Django appends to the model's name, where the field gives no name.
        """
        found = {}
        for scope in self._project.classes.values():
            for value in scope.names.values():
                if not _is_call(value, kinds):
                    continue
                given = _keyword(value, "related_name")
                name = f"{scope.bare_name.lower()}{ending}" if given is None else None
                if isinstance(given, ast.Constant) and isinstance(given.value, str):
                    name = given.value
                if name:
                    found[self._named(value, scope), name] = scope.dotted
        return found

    def _named(self, relation: str | ast.expr, scope: CodeScope) -> str:
        """The model that a foreign key names: as a class, as text, or as the user's model."""
        given = _keyword(relation, "to")
        if given is None and isinstance(relation, ast.Call) and relation.args:
            given = relation.args[0]
        if isinstance(given, ast.Constant) and isinstance(given.value, str):
            if given.value == "self":
                return scope.dotted
            here = scope.module.names.get(given.value)
            return (
                here if isinstance(here, str) and self.is_model(here) else self.named(given.value)
            )
        origin = self._origin(given, scope)
        return self.user if origin.endswith(".AUTH_USER_MODEL") else origin

    def _is_model_by_itself(self, origin: str) -> bool:
        scope = self._classes.scope(origin)
        if scope is None:
            return MODEL_BASES.matches(origin)
        return any(_is_call(value, COLUMNS) for value in scope.names.values())


def _is_call(value: str | ast.expr, names: tuple[str, ...]) -> bool:
    """Whether a value is a call of a name that ends like this."""
    return isinstance(value, ast.Call) and ast.unparse(value.func).endswith(names)


def _keyword(value: str | ast.expr, name: str) -> ast.expr | None:
    keywords = value.keywords if isinstance(value, ast.Call) else ()
    return next((each.value for each in keywords if each.arg == name), None)


def is_abstract_model(scope: CodeScope) -> bool:
    """Whether a model has no table of its own, but those that inherit from it."""
    meta = next(
        (
            node
            for node in scope.node.body
            if isinstance(node, ast.ClassDef) and node.name == "Meta"
        ),
        None,
    )
    return meta is not None and "abstract = True" in ast.unparse(meta)

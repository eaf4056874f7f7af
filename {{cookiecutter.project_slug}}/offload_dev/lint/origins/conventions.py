"""Rows, queries and forms that a framework gives to a class, by what the class declares.

Nothing in the source assigns them: `self.object` of a view with `model = Order` is an `Order`.
"""

import ast
from collections.abc import Callable, Iterator
from functools import cached_property

from offload_dev.lint.source.classes import Classes, Origin
from offload_dev.lint.source.nodes import Def, all_nodes
from offload_dev.lint.source.patterns import Patterns
from offload_dev.lint.source.project import Project
from offload_dev.lint.source.tree import CodeScope

VIEWS = Patterns("django.views.generic.*", "{rest_framework,adrf}.*")
WRITERS = Patterns("django.forms.*ModelForm", "{rest_framework,adrf}.*Serializer")
GET_OBJECT = {"get_object", "aget_object"}
FILTERS = Patterns("django_filters.*FilterSet")
RECEIVER = "django.dispatch.receiver"
OF_ROWS = "django.db.models.signals."
# Methods of forms and serializers that get a row, or return one.
GET_ROW = {"update", "to_representation"}
RETURN_ROW = {"save", "create", "update"}
# What a view makes, and the attribute that says of which class.
MAKES = {"get_serializer": "serializer_class", "get_form": "form_class"}


class Conventions:
    """Answers what frameworks give to the attributes, methods and parameters of a class.

    Args:
        origin: finds where an expression comes from.
        row: the model of the rows of a query.
    """

    def __init__(
        self, project: Project, classes: Classes, origin: Origin, row: Callable[[str], str]
    ) -> None:
        self._project, self._classes, self._origin, self._row = project, classes, origin, row

    def attribute(self, owner: str, name: str) -> str:
        """The origin of an attribute: `self.object` of a view, `self.instance` of a form."""
        if name == "object" and self._classes.is_a(owner, VIEWS):
            return self._model_of_view(owner)
        if name == "qs" and self._classes.is_a(owner, FILTERS):
            return self._rows_of(self._model_of_writer(owner))
        if name == "instance" and self._classes.is_a(owner, WRITERS):
            return self._model_of_writer(owner)
        return ""

    def returned(self, owner: str, method: str) -> str:
        """The origin of what a method returns that a class has of its framework."""
        if method in RETURN_ROW and self._classes.is_a(owner, WRITERS):
            return self._model_of_writer(owner)
        if not self._classes.is_a(owner, VIEWS):
            return ""
        if method in GET_OBJECT:
            return self._model_of_view(owner)
        if method == "get_queryset":
            rows = self._rows_of(self._declared(owner, "model"))
            return self._declared(owner, "queryset") or rows
        return self._declared(owner, MAKES[method]) if method in MAKES else ""

    def fetches_no_relations(self, owner: str, method: str) -> bool:
        """Whether a view's own way to fetch its row brings no relation with it."""
        if method not in GET_OBJECT or not self._classes.is_a(owner, VIEWS):
            return False
        names = ("get_object", "aget_object", "get_queryset")
        is_own = any(self._classes.method(owner, name) for name in names)
        return not is_own and "_related" not in self._declared(owner, "queryset")

    def parameter(self, scope: CodeScope, name: str) -> str:
        """The origin of the row that a signal gives its receiver, or a form its method."""
        if name != "instance" or not isinstance(scope.node, Def):
            return ""
        if scope.owner is None:
            found = next(self._sent_by(scope), None) or self._connected.get(scope.dotted)
            return self._origin(*found) if found else ""
        is_own = scope.node.name in GET_ROW and self._classes.is_a(scope.owner.dotted, WRITERS)
        return self._model_of_writer(scope.owner.dotted) if is_own else ""

    def is_request(self, node: ast.Attribute | ast.Subscript, scope: CodeScope) -> bool:
        """Whether a framework of Django keeps the request here. Three cases:

        1. `self.context.request` in a controller of ninja-extra.
        2. `info.context.request` in a resolver of Strawberry; also as an item.
        3. `info.context` in a resolver of Graphene.
        """
        match node:
            case ast.Attribute(
                value=ast.Attribute(value=ast.Name(id="self"), attr="context"), attr="request"
            ):
                return scope.module.uses(("ninja_extra",))
            case (
                ast.Attribute(
                    value=ast.Attribute(value=ast.Name(id="info"), attr="context"), attr="request"
                )
                | ast.Subscript(
                    value=ast.Attribute(value=ast.Name(id="info"), attr="context"),
                    slice=ast.Constant(value="request"),
                )
            ):
                return self._is_django and scope.module.uses(("strawberry",))
            case ast.Attribute(value=ast.Name(id="info"), attr="context"):
                return self._is_django and scope.module.uses(("graphene",))
        return False

    @cached_property
    def _is_django(self) -> bool:
        return any(module.uses(("django.",)) for module in self._project.files)

    def _declared(self, owner: str, name: str) -> str:
        """The origin of what a class, or a base class, assigns to a name in its body."""
        found = self._classes.member(owner, name)
        if found is None or not isinstance(found.value, ast.expr):
            return ""
        return self._origin(found.value, found.scope)

    def _rows_of(self, model: str) -> str:
        """The origin of a query for all rows of a model."""
        return f"{model}._default_manager.all" if model else ""

    def _model_of_view(self, owner: str) -> str:
        return self._declared(owner, "model") or self._row(self._declared(owner, "queryset"))

    def _model_of_writer(self, owner: str) -> str:
        """`Order` of `class Meta: model = Order`."""
        meta = self._classes.member(owner, "Meta")
        return self._declared(str(meta.value), "model") if meta is not None else ""

    def _sent_by(self, scope: CodeScope) -> Iterator[tuple[ast.expr, CodeScope]]:
        """The sender in `@receiver(post_save, sender=Order)`."""
        around = scope.parent or scope
        for node in scope.node.decorator_list if isinstance(scope.node, Def) else ():
            match node:
                case ast.Call(args=[signal, *_]) if sender := _sender(node):
                    is_receiver = self._origin(node.func, around) == RECEIVER
                    if is_receiver and self._origin(signal, around).startswith(OF_ROWS):
                        yield sender, around

    @cached_property
    def _connected(self) -> dict[str, tuple[ast.expr, CodeScope]]:
        """By receiver, the sender of `post_save.connect(receiver, sender=Order)`."""
        found: dict[str, tuple[ast.expr, CodeScope]] = {}
        for module in self._project.files:
            if ".connect(" in module.text and "signals" in module.text:
                found |= self._connections(module)
        return found

    def _connections(self, module: CodeScope) -> dict[str, tuple[ast.expr, CodeScope]]:
        found = {}
        for node in all_nodes(module.node):
            match node:
                case ast.Call(func=ast.Attribute(value=signal, attr="connect"), args=[given, *_]):
                    sender = _sender(node)
                    if sender and self._origin(signal, module).startswith(OF_ROWS):
                        found[self._origin(given, module)] = sender, module
        return found


def _sender(call: ast.Call) -> ast.expr | None:
    """The one sender that a call names."""
    given = next((each.value for each in call.keywords if each.arg == "sender"), None)
    return given if isinstance(given, ast.Name | ast.Attribute) else None

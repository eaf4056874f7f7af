"""What the fields of serializers of REST framework, and of forms, read and look up."""

import ast
from collections.abc import Iterator

from offload_dev.lint.origins.hooks import FORMS, SERIALIZERS
from offload_dev.lint.origins.resolver import Resolver
from offload_dev.lint.source.nodes import all_nodes
from offload_dev.lint.source.patterns import Patterns
from offload_dev.lint.source.tree import CodeScope

ROWS_OF_FORMS = Patterns("django.forms.{,models.}{ModelChoiceField,ModelMultipleChoiceField}")
LOOKUPS = Patterns("{rest_framework,adrf}.*.{PrimaryKeyRelatedField,SlugRelatedField}")
UNIQUE = Patterns("{rest_framework,adrf}.*.{UniqueValidator,UniqueTogetherValidator}")
# They read only the column with the key.
KEYS = Patterns("{rest_framework,adrf}.*.{PrimaryKeyRelatedField,SerializerMethodField}")
# A method of the serializer gives their value.
COMPUTED = Patterns("{rest_framework,adrf}.*.SerializerMethodField")


def relations_of(serializer: str, model: str, resolver: Resolver) -> Iterator[str]:
    """The relations that a serializer reads of a row of a model.

    A field of its own reads the relation of its name, or the one that its `source` begins with.
    Where the model of the serializer is this one, the fields that `Meta` lists read theirs.
    """
    declared = set()
    for scope, name, field in _fields(serializer, resolver):
        declared.add(name)
        keywords = {each.arg: each.value for each in field.keywords}
        source = keywords.get("source")
        given = str(source.value) if isinstance(source, ast.Constant) else name
        first, dot, _ = given.partition(".")
        kind = resolver.origin(field.func, scope)
        is_read = dot or not KEYS.matches(kind)
        is_relation = resolver.models.is_relation(model, first) and is_read
        is_many = resolver.models.rows(model, first) is not None and not COMPUTED.matches(kind)
        if (is_relation or is_many) and not _is_true(keywords.get("write_only")):
            yield first
    yield from (name for name in _listed_rows(serializer, model, resolver) if name not in declared)


def _listed_rows(serializer: str, model: str, resolver: Resolver) -> Iterator[str]:
    """The relations to many rows among the fields that a `ModelSerializer` lists in `Meta`."""
    inner = _meta(serializer, resolver)
    listed = inner.names.get("fields") if inner else None
    if inner is None or not isinstance(listed, ast.expr) or _model(inner, resolver) != model:
        return
    is_all = isinstance(listed, ast.Constant) and listed.value == "__all__"
    names = resolver.models.to_many(model) if is_all else _texts(listed)
    yield from (name for name in names if resolver.models.rows(model, name) is not None)


def looked_up(serializer: str, resolver: Resolver) -> Iterator[str]:
    """The fields whose row, or whose uniqueness, `is_valid()` asks the database for.

    Of a serializer, or of a form of Django.
    """
    for scope, name, field in _declared(serializer, FORMS, resolver):
        if ROWS_OF_FORMS.matches(resolver.origin(field.func, scope)):
            yield name
    for scope, name, field in _fields(serializer, resolver):
        keywords = {each.arg: each.value for each in field.keywords}
        is_read = _is_true(keywords.get("read_only"))
        if LOOKUPS.matches(resolver.origin(field.func, scope)) and not is_read:
            yield name
        parts = (part for value in keywords.values() for part in all_nodes(value))
        calls = (part.func for part in parts if isinstance(part, ast.Call))
        if any(UNIQUE.matches(resolver.origin(each, scope)) for each in calls):
            yield name
    yield from _unique_columns(serializer, resolver)


def _unique_columns(serializer: str, resolver: Resolver) -> Iterator[str]:
    """The unique columns and the relations among the fields of a `ModelSerializer`."""
    inner = _meta(serializer, resolver)
    fields = inner.names.get("fields") if inner else None
    if inner is None or not isinstance(fields, ast.List | ast.Tuple):
        return
    read = inner.names.get("read_only_fields")
    left_out = set(_texts(read)) if isinstance(read, ast.expr) else set()
    model = _model(inner, resolver)
    for name in _texts(fields):
        member = resolver.classes.member(model, name) if name not in left_out else None
        value = member.value if member else None
        if isinstance(value, ast.Call) and (
            resolver.models.is_relation(model, name)
            or any(each.arg == "unique" and _is_true(each.value) for each in value.keywords)
        ):
            yield name


def _meta(serializer: str, resolver: Resolver) -> CodeScope | None:
    """The class `Meta` of a serializer of this project."""
    scope = resolver.classes.scope(serializer)
    meta = scope.names.get("Meta") if scope else None
    return resolver.project.scopes.get(meta) if isinstance(meta, str) else None


def _model(meta: CodeScope, resolver: Resolver) -> str:
    named = meta.names.get("model")
    return resolver.origin(named, meta) if isinstance(named, ast.expr) else ""


def _fields(serializer: str, resolver: Resolver) -> Iterator[tuple[CodeScope, str, ast.Call]]:
    """The fields that a serializer of this project declares, with the class that does."""
    return _declared(serializer, SERIALIZERS, resolver)


def _declared(
    owner: str, bases: Patterns, resolver: Resolver
) -> Iterator[tuple[CodeScope, str, ast.Call]]:
    if resolver.classes.is_a(owner, bases):
        for each in resolver.classes.lineage(owner):
            scope = resolver.classes.scope(each)
            for name, value in scope.names.items() if scope else ():
                if isinstance(value, ast.Call) and scope is not None:
                    yield scope, name, value


def _texts(node: ast.expr) -> list[str]:
    items = node.elts if isinstance(node, ast.List | ast.Tuple) else ()
    return [str(each.value) for each in items if isinstance(each, ast.Constant)]


def _is_true(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Constant) and node.value is True

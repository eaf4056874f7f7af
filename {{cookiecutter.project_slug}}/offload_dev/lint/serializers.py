"""What the fields of a serializer of REST framework read and look up."""

import ast
from collections.abc import Iterator

from offload_dev.lint.patterns import Patterns
from offload_dev.lint.resolver import Resolver
from offload_dev.lint.source import CodeScope

SERIALIZERS = Patterns("{rest_framework,adrf}.*Serializer")
LOOKUPS = Patterns("{rest_framework,adrf}.*.{PrimaryKeyRelatedField,SlugRelatedField}")
UNIQUE = Patterns("{rest_framework,adrf}.*.{UniqueValidator,UniqueTogetherValidator}")
# They read only the column with the key.
KEYS = Patterns("{rest_framework,adrf}.*.{PrimaryKeyRelatedField,SerializerMethodField}")


def relations_of(serializer: str, model: str, resolver: Resolver) -> Iterator[str]:
    """The relations to one row that a serializer reads of a row of a model.

    A field of its own reads the relation of its name, or the one that its `source` begins with.
    """
    for scope, name, field in _fields(serializer, resolver):
        keywords = {each.arg: each.value for each in field.keywords}
        source = keywords.get("source")
        given = str(source.value) if isinstance(source, ast.Constant) else name
        first, dot, _ = given.partition(".")
        is_key = KEYS.matches(resolver.origin(field.func, scope))
        is_written = _is_true(keywords.get("write_only"))
        if resolver.models.is_relation(model, first) and (dot or not is_key) and not is_written:
            yield first


def looked_up(serializer: str, resolver: Resolver) -> Iterator[str]:
    """The fields whose row, or whose uniqueness, `is_valid()` asks the database for."""
    for scope, name, field in _fields(serializer, resolver):
        keywords = {each.arg: each.value for each in field.keywords}
        is_read = _is_true(keywords.get("read_only"))
        if LOOKUPS.matches(resolver.origin(field.func, scope)) and not is_read:
            yield name
        parts = (part for value in keywords.values() for part in ast.walk(value))
        calls = (part.func for part in parts if isinstance(part, ast.Call))
        if any(UNIQUE.matches(resolver.origin(each, scope)) for each in calls):
            yield name
    yield from _unique_columns(serializer, resolver)


def _unique_columns(serializer: str, resolver: Resolver) -> Iterator[str]:
    """The unique columns and the relations among the fields of a `ModelSerializer`."""
    scope = resolver.classes.scope(serializer)
    meta = scope.names.get("Meta") if scope else None
    inner = resolver.project.scopes.get(meta) if isinstance(meta, str) else None
    fields = inner.names.get("fields") if inner else None
    if inner is None or not isinstance(fields, ast.List | ast.Tuple):
        return
    read = inner.names.get("read_only_fields")
    left_out = set(_texts(read)) if isinstance(read, ast.expr) else set()
    named = inner.names.get("model")
    model = resolver.origin(named, inner) if isinstance(named, ast.expr) else ""
    for name in _texts(fields):
        member = resolver.classes.member(model, name) if name not in left_out else None
        value = member.value if member else None
        if isinstance(value, ast.Call) and (
            resolver.models.is_relation(model, name)
            or any(each.arg == "unique" and _is_true(each.value) for each in value.keywords)
        ):
            yield name


def _fields(serializer: str, resolver: Resolver) -> Iterator[tuple[CodeScope, str, ast.Call]]:
    """The fields that a serializer of this project declares, with the class that does."""
    if resolver.classes.is_a(serializer, SERIALIZERS):
        for each in resolver.classes.lineage(serializer):
            scope = resolver.classes.scope(each)
            for name, value in scope.names.items() if scope else ():
                if isinstance(value, ast.Call) and scope is not None:
                    yield scope, name, value


def _texts(node: ast.expr) -> list[str]:
    items = node.elts if isinstance(node, ast.List | ast.Tuple) else ()
    return [str(each.value) for each in items if isinstance(each, ast.Constant)]


def _is_true(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Constant) and node.value is True

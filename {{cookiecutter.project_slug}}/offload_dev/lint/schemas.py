"""What the response type of a typed endpoint reads of each row that the endpoint returns."""

import ast
from collections.abc import Iterator

from offload_dev.lint.patterns import Patterns
from offload_dev.lint.resolver import Resolver
from offload_dev.lint.source import CodeScope, Def

SCHEMAS = Patterns("ninja*.{Schema,ModelSchema}", "ninja_schema.*Schema", "ninja.*.ModelSchema")


def relations_read(scope: CodeScope, resolver: Resolver) -> Iterator[tuple[ast.expr, str, bool]]:
    """The relations that an endpoint's response reads.

    Each with the response type as it is written, its name, and whether it leads to many rows.
    """
    assert isinstance(scope.node, Def)
    for decorator in scope.node.decorator_list:
        for keyword in decorator.keywords if isinstance(decorator, ast.Call) else ():
            if keyword.arg != "response":
                continue
            for named in ast.walk(keyword.value):
                if isinstance(named, ast.Name | ast.Attribute):
                    origin = resolver.origin(named, scope.parent or scope)
                    for name, is_many in _of_schema(origin, resolver):
                        yield named, name, is_many


def _of_schema(origin: str, resolver: Resolver) -> Iterator[tuple[str, bool]]:
    schema = resolver.classes.scope(origin)
    if schema is None or not resolver.classes.is_a(origin, SCHEMAS):
        return
    model, listed = _model_of(schema, resolver)
    for name in dict.fromkeys((*schema.annotations, *listed)):
        is_own = f"resolve_{name}" in schema.names
        if is_own or not model:
            continue
        if resolver.models.rows(model, name) is not None:
            yield name, True
        elif name in schema.annotations and resolver.models.is_relation(model, name):
            yield name, False


def relations_of_schema(origin: str, resolver: Resolver) -> Iterator[str]:
    """The relations to one row that a schema reads of a row."""
    yield from (name for name, is_many in _of_schema(origin, resolver) if not is_many)
    yield from _of_made_schema(origin, resolver)


def _of_made_schema(origin: str, resolver: Resolver) -> Iterator[str]:
    """The relations of the model in `OrderSchema = create_schema(Order, depth=1)`."""
    holder, _, bare = origin.rpartition(".")
    module = resolver.project.modules.get(holder)
    made = module.names.get(bare) if module else None
    if module is None or not isinstance(made, ast.Call) or not made.args or not _has_depth(made):
        return
    model = resolver.classes.scope(resolver.origin(made.args[0], module))
    if model is not None and resolver.origin(made.func, module).endswith(".create_schema"):
        names = (name for name in model.names if resolver.models.is_relation(model.dotted, name))
        yield from names


def _has_depth(made: ast.Call) -> bool:
    """Whether `create_schema(Order, depth=1)` takes in the rows of the foreign keys."""
    return any(each.arg == "depth" for each in made.keywords)


def _model_of(schema: CodeScope, resolver: Resolver) -> tuple[str, list[str]]:
    """The model of a schema's rows, and the fields that its `Meta` lists."""
    meta = schema.names.get("Meta") or schema.names.get("Config")
    inner = resolver.project.scopes.get(meta) if isinstance(meta, str) else None
    if inner is None:
        return "", []
    named = inner.names.get("model")
    origin = resolver.origin(named, inner) if isinstance(named, ast.expr) else ""
    fields = inner.names.get("fields")
    listed = fields.elts if isinstance(fields, ast.List | ast.Tuple) else []
    texts = [each.value for each in listed if isinstance(each, ast.Constant)]
    return origin if resolver.models.is_model(origin) else "", list(map(str, texts))

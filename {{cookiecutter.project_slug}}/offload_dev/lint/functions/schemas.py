"""What the response type of a typed endpoint reads of each row that the endpoint returns."""

import ast
from collections.abc import Iterator

from offload_dev.lint.origins.resolver import Resolver
from offload_dev.lint.source.nodes import Def, all_nodes
from offload_dev.lint.source.patterns import Patterns
from offload_dev.lint.source.tree import CodeScope

SUCCESS = range(200, 300)
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
            for named in all_nodes(keyword.value):
                if isinstance(named, ast.Name | ast.Attribute):
                    origin = resolver.origin(named, scope.parent or scope)
                    for name, is_many in _of_schema(origin, resolver):
                        yield named, name, is_many


def relations_of_row(scope: CodeScope, model: str, resolver: Resolver) -> Iterator[str]:
    """The relations that the response type of an endpoint reads of a row, without a `Meta`."""
    assert isinstance(scope.node, Def)
    given = (each for node in scope.node.decorator_list for each in getattr(node, "keywords", ()))
    responses = (each.value for each in given if each.arg == "response")
    for named in (node for response in responses for node in _answers(response)):
        origin = resolver.origin(named, scope.parent or scope)
        if resolver.classes.is_a(origin, SCHEMAS):
            yield from relations_of_fields(origin, model, resolver)


def relations_of_fields(origin: str, model: str, resolver: Resolver) -> Iterator[str]:
    """The relations of a row that the fields of a schema read which names no model in `Meta`."""
    schema = resolver.classes.scope(origin)
    if schema is not None and not _model_of(schema, resolver)[0]:
        yield from _read_of(schema, model, resolver)


def _answers(response: ast.expr) -> Iterator[ast.expr]:
    """The types that a response names; of `{200: OrderOut, 404: Message}` those of success."""
    types = [response]
    if isinstance(response, ast.Dict):
        pairs = zip(response.keys, response.values, strict=True)
        types = [type_ for code, type_ in pairs if getattr(code, "value", 0) in SUCCESS]
    for each in types:
        yield from (n for n in all_nodes(each) if isinstance(n, ast.Name | ast.Attribute))


def _read_of(schema: CodeScope, model: str, resolver: Resolver) -> Iterator[str]:
    """The relations of a row that the fields of a schema read, by their name or their alias."""
    for name in schema.annotations:
        if f"resolve_{name}" not in schema.names:
            first = _alias(schema.names.get(name)) or name
            is_many = resolver.models.rows(model, first) is not None
            if is_many or resolver.models.is_relation(model, first):
                yield first


def _alias(field: str | ast.expr | None) -> str:
    """`customer` of `Field(..., alias="customer.name")`."""
    keywords = field.keywords if isinstance(field, ast.Call) else ()
    value = next((each.value for each in keywords if each.arg == "alias"), None)
    return str(value.value).partition(".")[0] if isinstance(value, ast.Constant) else ""


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

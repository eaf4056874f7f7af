"""Finds the one type that an annotation names."""

import ast
from collections.abc import Callable
from contextlib import suppress

SELF = {"typing.Self", "typing_extensions.Self"}
# `Annotated[Redis, Depends(connect)]` and the like say something about the type in their brackets.
TRANSPARENT = {
    "Optional",
    "Annotated",
    "ClassVar",
    "Final",
    "Required",
    "NotRequired",
    "Type",
    "type",
    "Awaitable",
    "InitVar",
}

# Containers, and the place of the type of their items.
CONTAINERS = dict.fromkeys(
    (
        *("list", "List", "set", "Set", "frozenset", "tuple", "Tuple", "deque"),
        *("Iterable", "Iterator", "Sequence", "Collection", "Generator"),
        *("AsyncIterable", "AsyncIterator", "AsyncGenerator"),
    ),
    0,
)
CONTAINERS |= dict.fromkeys(
    ("dict", "Dict", "Mapping", "MutableMapping", "defaultdict", "WeakKeyDictionary"), 1
)


def single_type(node: ast.expr | None, origin: Callable[[ast.expr], str]) -> ast.expr | None:
    """The name of the type, without `None`, quotes and wrappers; None if there are several.

    Args:
        origin: finds where a name comes from.
    """
    match node:
        case ast.Constant(value=str() as text):
            with suppress(SyntaxError):
                return single_type(ast.parse(text, mode="eval").body, origin)
            return None
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return _without_none([left, right], origin)
        case ast.Subscript(value=value, slice=inside):
            name = origin(value).rpartition(".")[2]
            parts = inside.elts if isinstance(inside, ast.Tuple) else [inside]
            if name == "Union":
                return _without_none(parts, origin)
            if name == "Coroutine":
                return single_type(parts[-1], origin)
            return single_type(parts[0], origin) if name in TRANSPARENT else node
        case ast.Name() | ast.Attribute():
            return node
    return None


def element_type(node: ast.expr | None) -> ast.expr | None:
    """The type of the items: `Store` of `list[Store]` and of `dict[str, Store]`."""
    match node:
        case ast.Subscript(value=ast.Name(id=name) | ast.Attribute(attr=name), slice=inside) if (
            name in CONTAINERS
        ):
            return inside.elts[CONTAINERS[name]] if isinstance(inside, ast.Tuple) else inside
    return None


def _without_none(parts: list[ast.expr], origin: Callable[[ast.expr], str]) -> ast.expr | None:
    known = [part for part in parts if not (isinstance(part, ast.Constant) and part.value is None)]
    return single_type(known[0], origin) if len(known) == 1 else None

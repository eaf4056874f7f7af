"""Walks through the syntax of one scope, without the scopes inside of it."""

import ast
from collections.abc import Iterator

Def = ast.FunctionDef | ast.AsyncFunctionDef
SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
# Where a statement, a handler or a case has others, in source order.
BLOCKS = ("body", "handlers", "orelse", "finalbody", "cases")
# Whether a name is read or assigned to, and which operator stands in an expression.
MARKS = {"ctx", "op", "ops"}


class _Fields(dict[type[ast.AST], tuple[str, ...]]):
    """By the kind of a node: where it has nodes below it. A kind is read when it is asked for."""

    def __missing__(self, kind: type[ast.AST]) -> tuple[str, ...]:
        self[kind] = fields = tuple(name for name in kind._fields if name not in MARKS)
        return fields


FIELDS = _Fields()


def own_nodes(node: ast.AST) -> list[ast.AST]:
    """Every node of a scope in source order, without the bodies of the scopes inside of it.

    The list of a scope is kept: some twenty rules ask for it.
    """
    known: list[ast.AST] | None = node.__dict__.get("own_nodes")
    if known is not None:
        return known
    found: list[ast.AST] = []
    waiting = children(node)[::-1]
    while waiting:
        child = waiting.pop()
        found.append(child)
        if not isinstance(child, SCOPES):
            waiting += children(child)[::-1]
    if isinstance(node, (*SCOPES, ast.Module)):
        node.__dict__["own_nodes"] = found
    return found


def children(node: ast.AST) -> list[ast.AST]:
    """The nodes right below a node in source order, without the marks of names and of operators.

    Those are half of all nodes, and no rule asks for them.
    """
    found: list[ast.AST] = []
    for name in FIELDS[type(node)]:
        value = getattr(node, name, None)
        if isinstance(value, list):
            found += [each for each in value if isinstance(each, ast.AST)]
        elif isinstance(value, ast.AST):
            found.append(value)
    return found


def own_statements(node: ast.AST) -> Iterator[ast.stmt]:
    """Every statement of a scope in source order. Expressions are skipped, which saves time."""
    for child in _in_blocks(node):
        if isinstance(child, ast.stmt):
            yield child
        if not isinstance(child, SCOPES):
            yield from own_statements(child)


def all_statements(node: ast.AST) -> Iterator[ast.stmt]:
    """Every statement below a node in source order, also inside of functions and classes."""
    for child in _in_blocks(node):
        if isinstance(child, ast.stmt):
            yield child
        yield from all_statements(child)


def _in_blocks(node: ast.AST) -> Iterator[ast.AST]:
    """What the blocks of a statement hold: statements, and the handlers and cases around them."""
    for name in BLOCKS:
        yield from getattr(node, name, ())


def has_word(node: ast.AST, words: tuple[str, ...]) -> bool:
    """Whether a name or a text below a node has one of these words. It saves writing it out."""
    texts = (each for child in ast.walk(node) for each in vars(child).values())
    return any(isinstance(text, str) and any(word in text for word in words) for text in texts)


def assigned(given: ast.expr, node: ast.AST) -> ast.expr:
    """What a variable of a function was assigned, if only one line assigns to it."""
    if not isinstance(given, ast.Name):
        return given
    values = [
        each.value
        for each in ast.walk(node)
        if isinstance(each, ast.Assign)
        and any(getattr(target, "id", "") == given.id for target in each.targets)
    ]
    return values[0] if len(values) == 1 else given

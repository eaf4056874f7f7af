"""Walks through the syntax of one scope, without the scopes inside of it."""

import ast
from collections.abc import Iterator

Def = ast.FunctionDef | ast.AsyncFunctionDef
SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
# Where a statement, a handler or a case has others, in source order.
BLOCKS = ("body", "handlers", "orelse", "finalbody", "cases")
# Fields that hold no nodes, or only marks: whether a name is read or assigned to, and operators.
PLAIN = frozenset(
    (
        *("ctx", "op", "ops", "id", "attr", "arg", "kind", "lineno", "level", "module", "simple"),
        *("is_async", "conversion", "type_comment", "asname", "rest", "kwd_attrs"),
    )
)


class _Fields(dict[type[ast.AST], tuple[str, ...]]):
    """By the kind of a node: where it has nodes below it. A kind is read when it is asked for."""

    def __missing__(self, kind: type[ast.AST]) -> tuple[str, ...]:
        self[kind] = fields = tuple(name for name in kind._fields if name not in PLAIN)
        return fields


class _Blocks(dict[type[ast.AST], tuple[str, ...]]):
    """By the kind of a statement, a handler or a case: the fields of the blocks that it has."""

    def __missing__(self, kind: type[ast.AST]) -> tuple[str, ...]:
        self[kind] = blocks = tuple(name for name in BLOCKS if name in kind._fields)
        return blocks


FIELDS = _Fields({ast.Constant: ()})
BLOCKS_OF = _Blocks()


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


def all_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """A node and every node below it, also inside of functions, level by level as `ast.walk`.

    There are no marks of names and of operators in it.
    """
    waiting = [node]
    for each in waiting:
        waiting += children(each)
    return iter(waiting)


def children(node: ast.AST) -> list[ast.AST]:
    """The nodes right below a node in source order, without the marks of names and of operators.

    Those are half of all nodes, and no rule asks for them. The list is kept: nodes do not change.
    """
    fields = FIELDS[type(node)]
    if not fields:
        return []
    kept = node.__dict__
    found: list[ast.AST] | None = kept.get("children")
    if found is None:
        found = kept["children"] = []
        for name in fields:
            value = kept.get(name)
            if isinstance(value, list):
                found += [each for each in value if isinstance(each, ast.AST)]
            elif isinstance(value, ast.AST):
                found.append(value)
    return found


def own_statements(node: ast.AST) -> list[ast.stmt]:
    """Every statement of a scope in source order. Expressions are skipped, which saves time.

    The list of a scope is kept.
    """
    known: list[ast.stmt] | None = node.__dict__.get("own_statements")
    if known is None:
        known = node.__dict__["own_statements"] = _statements(node, SCOPES)
    return known


def all_statements(node: ast.AST) -> list[ast.stmt]:
    """Every statement below a node in source order, also inside of functions and classes."""
    return _statements(node, ())


def _statements(node: ast.AST, ends: tuple[type[ast.AST], ...]) -> list[ast.stmt]:
    """The statements below a node, but for those below nodes of these kinds."""
    found: list[ast.stmt] = []
    waiting = _in_blocks(node)[::-1]
    while waiting:
        each = waiting.pop()
        if isinstance(each, ast.stmt):
            found.append(each)
        if not isinstance(each, ends):
            waiting += _in_blocks(each)[::-1]
    return found


def _in_blocks(node: ast.AST) -> list[ast.AST]:
    """What the blocks of a statement hold: statements, and the handlers and cases around them."""
    return [each for name in BLOCKS_OF[type(node)] for each in getattr(node, name)]


def has_word(node: ast.AST, words: tuple[str, ...]) -> bool:
    """Whether a name or a text below a node has one of these words. It saves writing it out."""
    for child in all_nodes(node):
        for text in vars(child).values():
            if isinstance(text, str) and any(word in text for word in words):
                return True
    return False


def assigned(given: ast.expr, node: ast.AST) -> ast.expr:
    """What a variable of a function was assigned, if only one line assigns to it."""
    if not isinstance(given, ast.Name):
        return given
    values = [
        each.value
        for each in all_statements(node)
        if isinstance(each, ast.Assign)
        and any(getattr(target, "id", "") == given.id for target in each.targets)
    ]
    return values[0] if len(values) == 1 else given

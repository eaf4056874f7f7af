"""The places that name a function, whatever object they take it from."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

from offload_dev.lint.source.nodes import SCOPES, Def, children
from offload_dev.lint.source.project import Project
from offload_dev.lint.source.tree import CodeScope

# A file with `getattr(self, name)` finds functions by a text, which may be any of its own.
FINDS_BY_TEXT = re.compile(r"\bgetattr\([^,()]+, *(?![\"'])")
# `shop.views.load`, `shop/views.py:load`, and a part of such a text.
PATH = re.compile(r"[\w.:/()\-]+")
WORD = re.compile(r"\w+")
# Most nodes are none of these: looking for them first saves a third of the time.
EXPORTING = (ast.Assign, ast.AugAssign, ast.AnnAssign)
WITH_TEXTS = (ast.Compare, ast.MatchValue, ast.Return)
NAMING = (ast.Attribute, ast.Call, ast.Constant, ast.ImportFrom)


class Mention(NamedTuple):
    """A name or an attribute in the code, and the module, class or function that it stands in.

    Args:
        is_path: whether it is a part of a text, such as `load` of `"shop.views.load"`, that no
            `getattr` of its file reads.
    """

    scope: CodeScope
    node: ast.expr
    is_path: bool = False


def mentions(project: Project) -> dict[str, list[Mention]]:
    """By name, where a project reads it, or writes it as a part of a text without spaces.

    A text that is only compared names no function: `if action == "send_fax"`. Nor does a list of
    texts that a coroutine returns: what frameworks ask for lists of names are plain methods.
    """
    scopes: dict[ast.AST, CodeScope] = {scope.node: scope for scope in project.scopes.values()}
    found: dict[str, list[Mention]] = defaultdict(list)
    for module in project.files:
        for name, mention in _below(module.node, module, scopes):
            found[name].append(mention)
    return found


def _below(
    node: ast.AST, scope: CodeScope, scopes: dict[ast.AST, CodeScope]
) -> Iterator[tuple[str, Mention]]:
    waiting = [(node, scope)]
    finds_by_text = FINDS_BY_TEXT.search(scope.module.text) is not None
    no_names: set[ast.AST] = set()
    while waiting:
        node, scope = waiting.pop()
        # Most nodes are names, which have nothing below them.
        if isinstance(node, ast.Name):
            yield node.id, Mention(scope, node)
            continue
        if isinstance(node, EXPORTING) and _exports(node):
            continue
        if isinstance(node, WITH_TEXTS):
            no_names |= _no_names(node, scope)
        if isinstance(node, NAMING):
            for name, named, is_path in _named_by(node, scope, no_names, finds_by_text):
                yield name, Mention(scope, named, is_path)
        below = children(node)
        if isinstance(node, SCOPES):
            # Decorators run where the function is defined.
            outside = node.decorator_list if isinstance(node, Def) else ()
            inside = scopes.get(node, scope)
            waiting += [(child, scope if child in outside else inside) for child in below]
        else:
            waiting += [(child, scope) for child in below]


def _named_by(
    node: ast.AST, scope: CodeScope, no_names: set[ast.AST], finds_by_text: bool
) -> Iterator[tuple[str, ast.expr, bool]]:
    """What a node names: the name, the node of it, and whether it is a part of a text."""
    match node:
        case ast.Attribute(attr=name):
            yield name, node, False
        case ast.Call(func=ast.Name(id="getattr"), args=[_, ast.Constant(value=str() as name), *_]):
            yield name, node, False
        case ast.Constant(value=str() as text):
            if finds_by_text:
                yield text, node, False
            if PATH.fullmatch(text) and node not in no_names:
                # The type of a message of Channels: `chat.title` is for `chat_title`.
                for name in {*WORD.findall(text), text.replace(".", "_")}:
                    yield name, node, True
        case ast.ImportFrom(names=imported):
            # `from shop.views import load as load_view` renames a function.
            for each in imported:
                if each.asname and each.asname != each.name:
                    original = ast.Constant(scope.module.absolute(node, each.name))
                    yield each.name, original, True


def _no_names(node: ast.AST, scope: CodeScope) -> set[ast.AST]:
    """The texts right in this node by which nothing finds a function."""
    match node:
        case ast.Compare(left=left, comparators=compared):
            found = [left, *compared]
        case ast.MatchValue(value=value):
            found = [value]
        case ast.Return(value=ast.List() as returned) if scope.on_loop:
            found = [returned]
        case _:
            return set()
    lists = (each.elts for each in found if isinstance(each, ast.List | ast.Tuple | ast.Set))
    return {*found, *(each for elements in lists for each in elements)}


def _exports(node: ast.AST) -> bool:
    """Whether this is `__all__ = […]`, which names functions, but uses none."""
    match node:
        case ast.Assign(targets=[ast.Name(id="__all__")]):
            return True
        case (
            ast.AugAssign(target=ast.Name(id="__all__"))
            | ast.AnnAssign(target=ast.Name(id="__all__"))
        ):
            return True
    return False

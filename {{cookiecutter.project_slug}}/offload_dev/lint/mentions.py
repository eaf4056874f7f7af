"""The places that name a function, whatever object they take it from."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

from offload_dev.lint.source import CodeScope, Def, Project

# A file with `getattr(self, name)` finds functions by a text, which may be any of its own.
FINDS_BY_TEXT = re.compile(r"\bgetattr\([^,()]+, *(?![\"'])")


class Mention(NamedTuple):
    """A name or an attribute in the code, and the module, class or function that it stands in."""

    scope: CodeScope
    node: ast.expr


def mentions(project: Project) -> dict[str, list[Mention]]:
    """By name, where a project reads it. A text counts where `getattr` may read it."""
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
    while waiting:
        node, scope = waiting.pop()
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name):
                yield name, Mention(scope, node)
            case ast.Call(
                func=ast.Name(id="getattr"), args=[_, ast.Constant(value=str() as name), *_]
            ):
                yield name, Mention(scope, node)
            case ast.Constant(value=str() as name) if finds_by_text:
                yield name, Mention(scope, node)
        inside = scopes.get(node, scope)
        # Decorators run where the function is defined.
        outside = node.decorator_list if isinstance(node, Def) else ()
        waiting += [
            (child, scope if child in outside else inside) for child in ast.iter_child_nodes(node)
        ]

"""Reads which names the statements of a scope bind, and to what."""

import ast

from offload_dev.lint.source.nodes import Def, own_statements
from offload_dev.lint.source.tree import Assigned, CodeScope, Module


def declare(scope: CodeScope, scopes: dict[str, CodeScope]) -> None:
    """Read the names that a scope binds, and the scopes inside of it.

    Args:
        scopes: all scopes by name, to which those inside are added.
    """
    for node in own_statements(scope.node):
        match node:
            case ast.ImportFrom(names=[ast.alias(name="*")]):
                scope.stars.append(scope.module.absolute(node))
            case ast.Import() | ast.ImportFrom():
                scope.names |= _imported_names(node, scope.module)
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                dotted = f"{scope.dotted}.{node.name}"
                # Two branches of an `if` may define the same function: both are read.
                other = scopes.get(dotted)
                if other is not None and other.node not in scope.node.body:
                    scopes[f"{dotted}:{node.lineno}"] = other
                inner = CodeScope(scope.module, dotted, node, scope)
                scope.names[node.name] = inner.dotted
                scopes[inner.dotted] = inner
                declare(inner, scopes)
            case ast.Assign(targets=targets, value=value):
                for target in targets:
                    _declare_variable(scope, target, value)
            case ast.AnnAssign(target=target, annotation=annotation, value=value):
                _declare_annotation(scope, target, annotation)
                if value is not None:
                    _declare_variable(scope, target, value)


def _imported_names(node: ast.Import | ast.ImportFrom, module: Module) -> dict[str, str]:
    """What each name of an import statement holds. `import a.b` binds `a`."""
    if isinstance(node, ast.ImportFrom):
        return {a.asname or a.name: module.absolute(node, a.name) for a in node.names}
    found = {}
    for alias in node.names:
        top, dot, _ = alias.name.partition(".")
        # `import a.b` binds `a`.
        found[alias.asname or top] = top if dot and not alias.asname else module.named(alias.name)
    return found


def _declare_variable(scope: CodeScope, target: ast.expr, value: ast.expr) -> None:
    """Note what a variable of a module or class holds, or an attribute of `self`.

    A function's local variables change from line to line: the visitor follows them.
    """
    match target:
        case ast.Name(id=name) if not isinstance(scope.node, Def):
            # `except ImportError: redis = None` says nothing about the module that is there.
            is_none = isinstance(value, ast.Constant) and value.value is None
            is_fallback = is_none and name in scope.names
            if not is_fallback:
                scope.names[name] = value
        case ast.Attribute(value=ast.Name(id="self" | "cls"), attr=name) if scope.owner:
            scope.owner.attributes.setdefault(name, []).append(Assigned(value, scope))
        case ast.Subscript(value=ast.Attribute(value=ast.Name(id="self" | "cls"), attr=name)) if (
            scope.owner
        ):
            scope.owner.elements.setdefault(name, []).append(Assigned(value, scope))
        case ast.Subscript(value=ast.Name(id=name)):
            scope.module.elements.setdefault(name, []).append(Assigned(value, scope))


def _declare_annotation(scope: CodeScope, target: ast.expr, annotation: ast.expr) -> None:
    match target:
        case ast.Name(id=name) if not isinstance(scope.node, Def):
            scope.annotations[name] = annotation
        case ast.Attribute(value=ast.Name(id="self"), attr=name) if scope.owner:
            scope.owner.annotations.setdefault(name, annotation)

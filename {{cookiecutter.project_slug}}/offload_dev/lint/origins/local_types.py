"""What the parameters and variables of a function hold, whatever the line.

The visitor follows variables from line to line. Others ask what a function returns, or what it
assigns to `self`; for them a variable has an origin if all its values have the same one.
"""

import ast
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

from offload_dev.lint.origins.joined import joined
from offload_dev.lint.source.nodes import Def, all_nodes, own_nodes, own_statements
from offload_dev.lint.source.tree import CodeScope


class Types(dict[str, str]):
    """The origins of the parameters and variables of a function, by their names.

    Attributes:
        answers: the origins of expressions with these variables, until one of them changes.
    """

    def __init__(self, origins: Mapping[str, str] = MappingProxyType({})) -> None:
        super().__init__(origins)
        self.answers: dict[ast.expr, str] = {}

    def __setitem__(self, name: str, origin: str) -> None:
        if self.get(name) != origin:
            super().__setitem__(name, origin)
            self.answers.clear()


Origin = Callable[[ast.expr | None, CodeScope, Types | None], str]
Parameter = Callable[[ast.arg, ast.expr | None, CodeScope], str]


class LocalTypes:
    """The origins of parameters and variables, by function.

    Args:
        origin: finds where an expression comes from.
        parameter: finds where a parameter comes from, by its annotation and its default value.
    """

    def __init__(self, origin: Origin, parameter: Parameter) -> None:
        self._origin, self._parameter = origin, parameter
        self._known: dict[CodeScope, Types] = {}
        self._parameters: dict[CodeScope, dict[str, str]] = {}

    def forget(self) -> None:
        """Ask everything again, since more origins are known now."""
        self._known.clear()
        self._parameters.clear()

    def parameters(self, scope: CodeScope) -> Types:
        """The origins of a function's parameters. The caller may change what it gets."""
        if scope not in self._parameters:
            self._parameters[scope] = {
                argument.arg: self._parameter(argument, default, scope)
                for argument, default in _arguments(scope)
            }
        return Types(self._parameters[scope])

    def of(self, scope: CodeScope) -> Types:
        """The origins of a function's parameters and variables."""
        if scope not in self._known:
            # A variable that depends on itself ends here.
            known = self._known[scope] = self.parameters(scope)
            for name, value in _bindings(scope):
                origin = self._origin(value, scope, known)
                known[name] = joined(known.get(name, origin), origin)
        return self._known[scope]

    def returned(self, scope: CodeScope, *, yields: bool) -> list[ast.expr]:
        """The values that a function returns, or yields. A generator returns none of its own."""
        nodes = list(own_nodes(scope.node))
        is_generator = any(isinstance(node, ast.Yield | ast.YieldFrom) for node in nodes)
        if is_generator and not yields:
            return []
        kind = ast.Yield if yields else ast.Return
        return [node.value for node in nodes if isinstance(node, kind) and node.value is not None]


def _arguments(scope: CodeScope) -> Iterator[tuple[ast.arg, ast.expr | None]]:
    """Each parameter of a function, with its default value."""
    if not isinstance(scope.node, Def):
        return
    given = scope.node.args
    by_place = [*given.posonlyargs, *given.args]
    defaults = [*[None] * (len(by_place) - len(given.defaults)), *given.defaults]
    yield from zip(by_place, defaults, strict=True)
    yield from zip(given.kwonlyargs, given.kw_defaults, strict=True)


def _bindings(scope: CodeScope) -> Iterator[tuple[str, ast.expr | None]]:
    """Each name that a function binds, with its value; None where the value is not known."""
    for node in own_statements(scope.node):
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                yield name, value
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                yield name, value
            case ast.With(items=items) | ast.AsyncWith(items=items):
                for item in items:
                    if isinstance(item.optional_vars, ast.Name):
                        yield item.optional_vars.id, item.context_expr
            case ast.Assign(targets=targets):
                yield from ((name, None) for target in targets for name in _names(target))
            case ast.For(target=target) | ast.AsyncFor(target=target):
                yield from ((name, None) for name in _names(target))


def _names(target: ast.expr) -> Iterator[str]:
    """The variables that a target binds: none in `self.name = 1` and in `rows[0] = 1`."""
    nodes = (node for node in all_nodes(target) if isinstance(node, ast.Name))
    return (node.id for node in nodes if isinstance(node.ctx, ast.Store))

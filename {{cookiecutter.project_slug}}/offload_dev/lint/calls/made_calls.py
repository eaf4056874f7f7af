"""A call that the source makes, and what it hands on of the arguments of the function around it."""

import ast
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from offload_dev.lint.source.arguments import parameters, places
from offload_dev.lint.source.nodes import Def
from offload_dev.lint.source.tree import Assigned, CodeScope


class Made(NamedTuple):
    """A call of a function of this project, and where it stands.

    Args:
        origins: the origins of the arguments, as the caller's line knows them.
        passed_on: where the arguments stand that `*args` and `**kwargs` only pass on.
    """

    call: ast.Call
    scope: CodeScope
    origins: dict[ast.expr, str]
    passed_on: Mapping[ast.expr, CodeScope] = {}

    def assigned(self, value: ast.expr) -> Assigned:
        """An argument, and where it stands."""
        return Assigned(value, self.passed_on.get(value, self.scope))


def passes_on(call: ast.Call, scope: CodeScope) -> bool:
    """Whether a call hands on the `*args` or `**kwargs` of the function around it."""
    return any(each in _stars(scope) for each in _starred(call))


def _stars(scope: CodeScope) -> set[str]:
    """The names of `*args` and `**kwargs` in a function, each with its stars."""
    given = scope.node.args if isinstance(scope.node, Def) else None
    many = given.vararg if given else None
    named = given.kwarg if given else None
    return {f"*{many.arg}" if many else "", f"**{named.arg}" if named else ""} - {""}


def _starred(call: ast.Call) -> Iterator[str]:
    yield from (ast.unparse(each) for each in call.args if isinstance(each, ast.Starred))
    yield from (f"**{ast.unparse(each.value)}" for each in call.keywords if each.arg is None)


def with_arguments_of(outer: Made, made: Made) -> Made:
    """A call with what the call of the function around it gives to `*args` and `**kwargs`."""
    node, stars = made.scope.node, _stars(made.scope)
    assert isinstance(node, Def)
    more = outer.call.args[len(places(node)) :]
    by_name = [each for each in outer.call.keywords if each.arg not in parameters(node)]
    args, keywords = [], []
    for value in made.call.args:
        is_passed_on = isinstance(value, ast.Starred) and ast.unparse(value) in stars
        args += more if is_passed_on else [value]
    for keyword in made.call.keywords:
        is_passed_on = keyword.arg is None and f"**{ast.unparse(keyword.value)}" in stars
        keywords += by_name if is_passed_on else [keyword]
    passed_on = {
        value: outer.assigned(value).scope for value in (*more, *(each.value for each in by_name))
    }
    return Made(
        ast.copy_location(ast.Call(made.call.func, args, keywords), made.call),
        made.scope,
        {**made.origins, **outer.origins},
        {**made.passed_on, **passed_on},
    )

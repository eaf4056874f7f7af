"""Loops whose number of turns is known from the source, or from the call that gives it."""

import ast
from collections.abc import Iterator

from offload_dev.lint.function import Function
from offload_dev.lint.source import Def
from offload_dev.lint.violations import Violation, violation

# An empty Python loop takes about 5 ms for these turns.
MIN_LONG_TURNS = 100_000


def long_loops(function: Function) -> Iterator[Violation]:
    """The loops that are long whatever the function is called with."""
    for loop in function.loops:
        if loop.turns >= MIN_LONG_TURNS:
            yield _too_long(loop.node, loop.turns)


def loops_made_long(function: Function, call: ast.Call, caller: Function) -> Iterator[Violation]:
    """The loops that become long by a number that this call gives, or by a default value.

    A generator is left out: it runs only as far as its reader asks.
    """
    for loop in function.loops:
        if not loop.parameter or loop.turns >= MIN_LONG_TURNS or function.is_generator:
            continue
        turns = loop.turns * _value_of(loop.parameter, function, call, caller)
        if turns >= MIN_LONG_TURNS:
            yield _too_long(loop.node, turns)


def _too_long(node: ast.AST, turns: int) -> Violation:
    return violation(node, f"a loop of {turns:,} turns", computes=True)


def _value_of(name: str, function: Function, call: ast.Call, caller: Function) -> int:
    """The number that a call gives to a parameter; 1 if it is not known."""
    node, number = function.scope.node, function.resolver.number
    assert isinstance(node, Def)
    if any(isinstance(argument, ast.Starred) for argument in call.args):
        return 1
    if any(keyword.arg is None for keyword in call.keywords):
        return 1

    # 1. By the call: as a keyword, or in its place. `self` and `cls` take no place.
    names = [argument.arg for argument in (*node.args.posonlyargs, *node.args.args)]
    by_place = names[1:] if names[:1] in (["self"], ["cls"]) else names
    given = dict(zip(by_place, call.args, strict=False))
    given |= {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg}
    if name in given:
        return number(given[name], caller.scope)

    # 2. By the default value.
    defaults: dict[str, ast.expr | None] = dict(
        zip(reversed(names), reversed(node.args.defaults), strict=False)
    )
    keyword_names = (argument.arg for argument in node.args.kwonlyargs)
    defaults |= dict(zip(keyword_names, node.args.kw_defaults, strict=True))
    return number(defaults.get(name), function.scope)

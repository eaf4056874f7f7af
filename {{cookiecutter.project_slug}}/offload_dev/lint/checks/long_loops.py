"""Loops whose number of turns is known from the source, or from the call that gives it."""

import ast
from collections.abc import Iterator

from offload_dev.lint.checks.violations import Violation, violation
from offload_dev.lint.functions.function import Function
from offload_dev.lint.source.arguments import argument
from offload_dev.lint.source.nodes import Def

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
    given = argument(name, node, call)
    return number(given.value, function.scope if given.by_default else caller.scope)

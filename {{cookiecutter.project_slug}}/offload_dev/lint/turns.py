"""Loops whose turns are known from the source: written there, or given by the call as a number."""

import ast
from collections.abc import Iterator

from offload_dev.lint.facts import Facts
from offload_dev.lint.origins import Origins
from offload_dev.lint.sites import Site, yields
from offload_dev.lint.source import Def, Scope

# Turns: some 5 ms of the emptiest Python.
LONG = 100_000


def long_loops(facts: Facts) -> Iterator[Site]:
    """The loops of a function that are long whatever it is given."""
    for loop in facts.loops:
        if loop.turns >= LONG:
            yield _site(loop.node, loop.turns)


def made_long(facts: Facts, call: ast.Call, caller: Scope, origins: Origins) -> Iterator[Site]:
    """The loops of a function that are long by a number that this call gives it, or by a default
    that it leaves.
    """
    # A generator runs as far as it is asked.
    for loop in facts.loops if not yields(facts.scope) else ():
        if loop.parameter and loop.turns < LONG:
            turns = loop.turns * _given(facts.scope, loop.parameter, call, caller, origins)
            if turns >= LONG:
                yield _site(loop.node, turns)


def _site(node: ast.AST, turns: int) -> Site:
    return Site("OFF202", node, f"{turns:,} turns:", in_gil=True)


def _given(function: Scope, name: str, call: ast.Call, caller: Scope, origins: Origins) -> int:
    """The number that a call gives to a parameter; 1 if it is not known."""
    assert isinstance(function.node, Def)
    parameters = function.node.args
    names = [argument.arg for argument in (*parameters.posonlyargs, *parameters.args)]
    if any(isinstance(argument, ast.Starred) for argument in call.args) or None in {
        word.arg for word in call.keywords
    }:
        return 1
    placed = dict(zip(names[names[:1] in (["self"], ["cls"]) :], call.args, strict=False))
    named = {word.arg: word.value for word in call.keywords}
    if given := named.get(name) or placed.get(name):
        return origins.number(given, caller)
    defaults = dict(zip(reversed(names), reversed(parameters.defaults), strict=False))
    named_only = zip(
        (argument.arg for argument in parameters.kwonlyargs), parameters.kw_defaults, strict=True
    )
    return origins.number({**dict(named_only), **defaults}.get(name), function)

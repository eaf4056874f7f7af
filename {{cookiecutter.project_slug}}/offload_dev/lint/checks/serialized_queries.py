"""Queries that are started at the same time, but run one after the other.

A request has one thread for its queries, so a second query waits until the first one is done.
"""

import ast
from collections.abc import Iterable, Iterator

from offload_dev.lint.functions.function import Function, awaits, is_async_query
from offload_dev.lint.source.nodes import SCOPES, children

REPEATS = (ast.For, ast.While, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
CHOICES = (ast.If, ast.IfExp, ast.Match, ast.ExceptHandler)


def serialized_queries(function: Function) -> Iterator[ast.Call]:
    """Each `gather` of several queries, and the first query of a `TaskGroup` that has several.

    A single query beside something else is right: it runs while another task waits for an upstream.
    """
    queries = {
        call.node for call in function.calls_not_awaited if is_async_query(call, function.resolver)
    }
    if not queries:
        return

    # 1. asyncio.gather.
    for call in function.calls:
        if call.origin == "asyncio.gather" and len(list(_made(call.node.args, queries))) > 1:
            yield call.node

    # 2. asyncio.TaskGroup. After an `await` in its body the earlier tasks may be done.
    tasks = {
        call.node
        for call in function.calls
        if call.origin == "asyncio.TaskGroup.create_task" and not queries.isdisjoint(call.node.args)
    }
    for block in function.blocks:
        if block.origin == "asyncio.TaskGroup" and not awaits(block.node.body):
            made = list(_made(block.node.body, tasks))
            if len(made) > 1:
                yield made[0]


def _made(nodes: Iterable[ast.AST], wanted: set[ast.Call]) -> Iterator[ast.Call]:
    """The wanted calls that these nodes make for sure. A call that is repeated comes twice."""
    for node in nodes:
        if isinstance(node, ast.Call) and node in wanted:
            yield node
        if not isinstance(node, (*SCOPES, *CHOICES)):
            inside = list(_made(children(node), wanted))
            yield from inside * (2 if isinstance(node, REPEATS) else 1)

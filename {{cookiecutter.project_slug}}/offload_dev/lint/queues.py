"""Queries started side by side: a request has one thread for them, so they run one after the other
all the same.
"""

import ast
from collections.abc import Iterable, Iterator

from offload_dev.lint.facts import Facts, awaits
from offload_dev.lint.origins import Origins
from offload_dev.lint.sites import is_async_query
from offload_dev.lint.source import SCOPES

MANY = (ast.For, ast.While, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
CHOICE = (ast.If, ast.IfExp, ast.Match, ast.ExceptHandler)


def queued(facts: Facts, origins: Origins) -> Iterator[ast.Call]:
    """Each `gather` of several queries, and the first query of each TaskGroup that is given several
    at once.

    A single query has its sense there: it runs while another task waits for an upstream.
    """
    queries = {
        call.node for call in facts.calls if not call.awaited and is_async_query(call, origins)
    }
    for call in facts.calls:
        if call.origin == "asyncio.gather" and len(list(_made(call.node.args, queries))) > 1:
            yield call.node
    tasks = {
        call.node
        for call in facts.calls
        if call.origin == "asyncio.TaskGroup.create_task" and not queries.isdisjoint(call.node.args)
    }
    for block, _, origin in facts.blocks:
        # Else those before it may be done.
        if origin == "asyncio.TaskGroup" and not awaits(block.body):
            made = list(_made(block.body, tasks))
            yield from made[:1] if len(made) > 1 else []


def _made(nodes: Iterable[ast.AST], wanted: set[ast.Call]) -> Iterator[ast.Call]:
    """The wanted calls that these nodes surely make, twice where they make many."""
    for node in nodes:
        if isinstance(node, ast.Call) and node in wanted:
            yield node
        if not isinstance(node, (*SCOPES, *CHOICE)):
            inside = list(_made(ast.iter_child_nodes(node), wanted))
            yield from inside * (2 if isinstance(node, MANY) else 1)

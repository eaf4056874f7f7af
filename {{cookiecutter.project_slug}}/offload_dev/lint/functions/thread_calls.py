"""Calls that another thread makes, as if they stood in the line that waits for them."""

import ast

from offload_dev.lint.origins.local_types import Types
from offload_dev.lint.origins.resolver import Resolver
from offload_dev.lint.source.names import TO_THREAD
from offload_dev.lint.source.tree import CodeScope


def made_by(value: ast.expr, scope: CodeScope, local: Types, resolver: Resolver) -> ast.expr:
    """What an expression runs, in this thread or in another one: `f(1)` of `to_thread(f, 1)`."""
    call = value.value if isinstance(value, ast.Await) else value
    match call:
        case ast.Call(func=ast.Call(func=wrapper, args=[made, *_]), args=args):
            given, keywords = args, call.keywords
        case ast.Call(func=ast.Attribute(attr="run_in_executor"), args=[_, made, *args]):
            return made.body if isinstance(made, ast.Lambda) else ast.Call(made, args, [])
        case ast.Call(func=wrapper, args=[made, *args]):
            given, keywords = args, call.keywords
        case _:
            return call
    if not TO_THREAD.matches(resolver.origin(wrapper, scope, local)):
        return call
    return made.body if isinstance(made, ast.Lambda) else ast.Call(made, given, keywords)

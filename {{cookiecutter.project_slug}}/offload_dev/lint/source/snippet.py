"""Source text for messages."""

import ast

MAX_SNIPPET_CHARACTERS = 60


def snippet(node: ast.AST) -> str:
    """The source of a node, on one line, cut where it is too long for a message."""
    text = " ".join(ast.unparse(node).split())
    if len(text) < MAX_SNIPPET_CHARACTERS:
        return text
    return f"{text[: MAX_SNIPPET_CHARACTERS - 3]}..."


def async_name(called: ast.expr) -> str:
    """The name of the async counterpart in Django: `Order.objects.aget` for `Order.objects.get`."""
    if isinstance(called, ast.Attribute):
        return f"{snippet(called.value)}.a{called.attr}"
    return f"a{snippet(called)}"

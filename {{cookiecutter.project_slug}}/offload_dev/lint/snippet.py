"""Source text for messages."""

import ast

MAX_SNIPPET_CHARACTERS = 60


def snippet(node: ast.AST) -> str:
    """The source of a node, on one line, cut where it is too long for a message."""
    text = " ".join(ast.unparse(node).split())
    if len(text) < MAX_SNIPPET_CHARACTERS:
        return text
    return f"{text[: MAX_SNIPPET_CHARACTERS - 3]}..."

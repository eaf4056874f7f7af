"""What a handler of errors catches."""

import ast

from offload_dev.lint.source.nodes import all_nodes


def caught_names(handler: ast.ExceptHandler) -> set[str]:
    """The names of the errors, without their modules; `BaseException` for a bare `except:`."""
    if handler.type is None:
        return {"BaseException"}
    nodes = list(all_nodes(handler.type))
    names = {node.id for node in nodes if isinstance(node, ast.Name)}
    return names | {node.attr for node in nodes if isinstance(node, ast.Attribute)}

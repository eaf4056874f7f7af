"""Imports what the functions of jobs import, before the worker forks."""

import ast
import importlib
import inspect
import textwrap
from typing import Any

from offload.jobs.job_type import JobType


def preload(job_type: JobType[Any, Any]) -> None:
    """Run the imports in the function's body.

    A broken import then ends the worker at its start, and the forked processes share the imported
    code.
    """
    source = textwrap.dedent(inspect.getsource(job_type.function))
    package = job_type.function.__module__.rpartition(".")[0]

    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            module = importlib.import_module("." * node.level + (node.module or ""), package)
            for alias in node.names:
                if not hasattr(module, alias.name):
                    importlib.import_module(f"{module.__name__}.{alias.name}")
        elif isinstance(node, ast.Import):
            for alias in node.names:
                importlib.import_module(alias.name)

"""The style of `offload/` and `offload_dev/`: short lines and functions, where comments stand.

These packages have no Jinja, so their files are read as they are.
"""

import ast
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import ROOT

TEMPLATE = ROOT / "{{cookiecutter.project_slug}}"
PACKAGES = ("offload", "offload_dev")
# Without migrations, which Django writes.
FILES = {
    package: sorted(
        file for file in (TEMPLATE / package).rglob("*.py") if file.parent.name != "migrations"
    )
    for package in PACKAGES
}

MAX_COLUMNS = 100
MAX_FUNCTION_LINES = 40
# This share of all comments may stand behind code, on the same line.
MAX_END_OF_LINE_COMMENTS = 0.15
# These comments are for tools, which want them at the end of the line. They do not count.
PRAGMAS = ("# noqa", "# type: ignore")


def name(file: Path) -> str:
    return str(file.relative_to(TEMPLATE))


def comments(file: Path) -> Iterator[tuple[int, bool]]:
    """The line of each comment, and whether code stands before it."""
    with file.open("rb") as source:
        for token in tokenize.tokenize(source.readline):
            if token.type == tokenize.COMMENT and not token.string.startswith(PRAGMAS):
                yield token.start[0], bool(token.line[: token.start[1]].strip())


def function_lengths(file: Path) -> Iterator[tuple[int, str, int]]:
    """Line, name and length of each function; decorators do not count."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            yield node.lineno, node.name, node.end_lineno - node.lineno + 1


def first_lines(file: Path) -> Iterator[tuple[int, str]]:
    """The line of each docstring, and what its first line says."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            docstring = ast.get_docstring(node)
            if docstring:
                yield node.body[0].lineno, docstring.splitlines()[0]


@pytest.mark.parametrize("package", PACKAGES)
def test_the_standard_is_found(package: str) -> None:
    assert len(FILES[package]) > 50


@pytest.mark.parametrize("package", PACKAGES)
def test_no_line_is_longer_than_100_columns(package: str) -> None:
    too_long = [
        f"{name(file)}:{number} has {len(line)} columns"
        for file in FILES[package]
        for number, line in enumerate(file.read_text().splitlines(), 1)
        if len(line) > MAX_COLUMNS
    ]
    assert too_long == []


@pytest.mark.parametrize("package", PACKAGES)
def test_no_function_is_longer_than_40_lines(package: str) -> None:
    too_long = [
        f"{name(file)}:{line} {function} has {length} lines"
        for file in FILES[package]
        for line, function, length in function_lengths(file)
        if length > MAX_FUNCTION_LINES
    ]
    assert too_long == []


@pytest.mark.parametrize("package", PACKAGES)
def test_comments_stand_above_the_code_that_they_explain(package: str) -> None:
    found = [
        (f"{name(file)}:{line}", behind_code)
        for file in FILES[package]
        for line, behind_code in comments(file)
    ]
    behind_code = [place for place, is_behind in found if is_behind]
    assert len(behind_code) < MAX_END_OF_LINE_COMMENTS * len(found), behind_code


@pytest.mark.parametrize("package", PACKAGES)
def test_the_standard_has_no_jinja(package: str) -> None:
    with_jinja = [
        name(file)
        for file in FILES[package]
        if any(mark in file.read_text() for mark in ("{%", "{{ cookiecutter", "{{cookiecutter"))
    ]
    assert with_jinja == []


@pytest.mark.parametrize("package", PACKAGES)
def test_the_first_line_of_a_docstring_is_a_sentence(package: str) -> None:
    unfinished = [
        f"{name(file)}:{line} {first_line}"
        for file in FILES[package]
        for line, first_line in first_lines(file)
        if not first_line.endswith((".", "?", ":"))
    ]
    assert unfinished == []

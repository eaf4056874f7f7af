"""The decision pages list every name of a library that is not public, and that `offload/` uses.

A library may change such a name in any release. Who renews the requirements reads in the list where
to look, and `make test-next` tries the newest releases.
"""

import ast
import importlib
import inspect
import re
from collections.abc import Iterator
from functools import cache

import django
import pytest
from conftest import SERVICE

DECISIONS = SERVICE.parent / "docs" / "decisions"
# The rooms whose classes are made from those of libraries.
ROOMS = ("serving", "fanout", "postgresql")
# Of these libraries a name may be without an underscore and still be no promise: their classes are
# not made to be subclassed.
FRAGILE = ("uvicorn.", "django.core.handlers.")
# They are documented, or Python itself adds them to each class of a kind.
PUBLIC = {"_getframe", "_current_frames", "_meta", "_abc_impl", "_is_protocol"}


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name not in PUBLIC


@cache
def names_of(cls: type) -> tuple[set[str], set[str]]:
    """The attributes that a class defines or sets, and those of `self` and `super()` it reads."""
    kept, read = set(vars(cls)), set()
    for node in ast.walk(ast.parse(inspect.cleandoc("\n" + inspect.getsource(cls)))):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) in ("self", "super()"):
            (kept if isinstance(node.ctx, ast.Store) else read).add(node.attr)
    return kept, read


def classes() -> Iterator[type]:
    """Every class of the rooms."""
    for path in (path for room in ROOMS for path in (SERVICE / "offload" / room).rglob("*.py")):
        name = ".".join(path.relative_to(SERVICE).with_suffix("").parts)
        module = importlib.import_module(name.removesuffix(".__init__"))
        for found in vars(module).values():
            if inspect.isclass(found) and found.__module__ == module.__name__:
                yield found


def inherited_names(cls: type) -> set[str]:
    """What a class overrides or uses of the classes of libraries that it is made from."""
    ours = [base for base in cls.__mro__ if base.__module__.startswith("offload.")]
    theirs = [base for base in cls.__mro__ if base not in ours and base is not object]
    if any(base.__module__.startswith(FRAGILE) for base in theirs):
        fragile = [base for base in theirs if base.__module__.startswith(FRAGILE)]
        used = set(vars(cls)) | names_of(cls)[1]
        found = used & set().union(*(names_of(base)[0] for base in fragile))
    else:
        found = {name for name in vars(cls) if any(name in vars(base) for base in theirs)}
        found = {name for name in found if is_private(name)}
    return {name for name in found if not name.startswith("__")}


def private_names(own: set[str]) -> set[str]:
    """What the files read of other objects, or import, and begins with an underscore."""
    found = set()
    for path in (SERVICE / "offload").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) != "self":
                found.add(node.attr)
            elif isinstance(node, ast.ImportFrom):
                found |= {alias.name for alias in node.names}
    return {name for name in found if is_private(name)} - own


@pytest.fixture
def listed() -> str:
    """All code in the text of the decision pages."""
    pages = "\n".join(page.read_text() for page in DECISIONS.glob("*.md"))
    return "\n".join(re.findall(r"`([^`\n]+)`", pages))


def test_the_decisions_list_every_name_of_a_library_that_is_not_public(listed: str) -> None:
    django.setup()
    all_classes = list(classes())
    own = set().union(*(names_of(cls)[0] for cls in all_classes))
    names = private_names(own).union(*(inherited_names(cls) for cls in all_classes))
    assert {"_middleware_chain", "_start_asgi_task", "cycle", "lifespan"} <= names
    missing = [name for name in sorted(names) if not re.search(rf"\b{name}\b", listed)]
    assert not missing, f"not in docs/decisions: {', '.join(missing)}"

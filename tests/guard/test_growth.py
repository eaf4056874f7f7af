"""The linter's work grows with the size of a file, and not with its square.

Work is the number of calls that Python makes, which is the same on every machine.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import pytest
from small_apps import BLOCKING, write

from offload_dev.lint.deep_stack import with_deep_stack
from offload_dev.lint.grade import grade
from offload_dev.lint.origins.resolver import Resolver
from offload_dev.lint.source.classes import MAX_BASES
from offload_dev.lint.source.project import Project

# A file of twice the size takes twice the work, and some for what grows slowly.
MOST = 2.6


def calls(path: Path, text: str) -> int:
    """The calls that the linter makes for one file, of Python's functions and of others."""
    tree = write(path, views=BLOCKING, generated=text)
    count = 0

    def note(frame: FrameType, event: str, argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    def lint() -> list[str]:
        sys.setprofile(note)
        try:
            return [each.rule for each in grade(Project(tree))]
        finally:
            sys.setprofile(None)

    assert with_deep_stack(lint) == ["OFF103"]
    return count


def chained_calls(size: int) -> str:
    return f"import shop\n\nasync def view(request):\n    return shop.a{'.b(c=1)' * size}\n"


def chained_queries(size: int) -> str:
    model = "from django.db import models\n\nclass M(models.Model):\n    pass\n\n"
    return f"{model}async def view(request):\n    return M.objects{'.filter(a=1)' * size}\n"


def functions(size: int) -> str:
    return "".join(
        f"def f{n}(a, b=None):\n    x = a + {n}\n    return g(x, b)\n" for n in range(size)
    )


def conditions(size: int) -> str:
    lines = (f"    if request.a == {n}:\n        x = {n}\n" for n in range(size))
    return "async def view(request):\n" + "".join(lines)


def relations(size: int) -> str:
    model = (
        "from django.db import models\n\nclass M(models.Model):\n"
        "    b = models.ForeignKey('M', on_delete=models.CASCADE)\n\n"
    )
    lines = (f"    x{n} = M.objects.get(pk={n})\n    y{n} = x{n}.b\n" for n in range(size))
    return f"{model}def load():\n" + "".join(lines)


@pytest.mark.parametrize(
    ("generate", "size"),
    [
        (chained_calls, 100),
        (chained_queries, 100),
        (functions, 600),
        (conditions, 200),
        (relations, 250),
    ],
)
def test_twice_the_source_takes_twice_the_work(
    generate: Callable[[int], str], size: int, tmp_path: Path
) -> None:
    empty = calls(tmp_path / "empty", "")
    once = calls(tmp_path / "once", generate(size)) - empty
    twice = calls(tmp_path / "twice", generate(2 * size)) - empty
    assert twice / once < MOST


def test_a_long_line_of_base_classes_is_followed_to_an_end(tmp_path: Path) -> None:
    heirs = "".join(f"class C{n + 1}(C{n}):\n    pass\n" for n in range(2 * MAX_BASES))
    tree = write(tmp_path, views=BLOCKING, generated=f"class C0:\n    pass\n{heirs}")
    classes = with_deep_stack(lambda: Resolver(Project(tree)).classes)
    lengths = [len(classes.lineage(name)) for name in Project(tree).classes]
    assert lengths == [min(n + 1, MAX_BASES) for n in range(2 * MAX_BASES + 1)]
    assert len(classes.heirs("app.generated.C0")) == MAX_BASES - 1

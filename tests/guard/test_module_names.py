"""Each file has a name of its own, and an import means the file that Python would load."""

from pathlib import Path

from offload_dev.lint.grade import grade
from offload_dev.lint.source.project import Project

BLOCKS = "import time\n\ndef load():\n    time.sleep(1)\n"
WAITS = "def load():\n    return 1\n"
VIEW = "async def view(request):\n    load()\n"


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def found_in(root: Path) -> list[str]:
    return [found.path for found in grade(Project(root)) if found.rule == "OFF103"]


def test_two_services_of_a_repository_may_have_files_of_the_same_name(tmp_path: Path) -> None:
    view = f"from helper import load\n\n{VIEW}"
    root = write(
        tmp_path,
        {
            "first/helper.py": BLOCKS,
            "first/views.py": view,
            "second/helper.py": WAITS,
            "second/views.py": view,
        },
    )
    assert found_in(root) == ["first/views.py"]
    assert len(Project(root).modules) == 4


def test_packages_of_the_same_name_are_told_apart_by_relative_imports(tmp_path: Path) -> None:
    files = {
        f"{name}/shop/{file}": text
        for name, helper in (("first", BLOCKS), ("second", WAITS))
        for file, text in (
            ("__init__.py", ""),
            ("helper.py", helper),
            ("views.py", f"from .helper import load\n\n{VIEW}"),
        )
    }
    assert found_in(write(tmp_path, files)) == ["first/shop/views.py"]


def test_a_folder_that_is_no_package_can_be_imported_from(tmp_path: Path) -> None:
    view = f"from apps.shop.helper import load\n\n{VIEW}"
    root = write(tmp_path, {"apps/shop/helper.py": BLOCKS, "apps/shop/views.py": view})
    assert found_in(root) == ["apps/shop/views.py"]


def test_a_relative_import_finds_a_neighbour_in_a_folder_that_is_no_package(tmp_path: Path) -> None:
    view = f"from . import helper\n\n{VIEW.replace('load()', 'helper.load()')}"
    root = write(tmp_path, {"apps/shop/helper.py": BLOCKS, "apps/shop/views.py": view})
    assert found_in(root) == ["apps/shop/views.py"]


def test_a_file_named_like_a_library_does_not_hide_the_library(tmp_path: Path) -> None:
    view = "import requests\n\nasync def view(request):\n    requests.get('/', timeout=1)\n"
    root = write(tmp_path, {"tools/requests.py": WAITS, "shop/views.py": view})
    assert found_in(root) == ["shop/views.py"]

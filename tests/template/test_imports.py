"""Every module of the standard can be imported first, and the import graph has no circle."""

import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import django
import grimp
import pytest

from .conftest import bake, run

PACKAGES = ("offload", "offload_dev")
# The folders of the standard whose modules must be in no circle; "" is for the files beside them.
ROOMS = ("access", "fanout", "guard", "jobs", "observe", "serving", "sockets", "")
# Interpreters at a time.
BATCHES = 4

# Sets up Django, as everything that runs the standard does, and then forks for each module: in
# every fork the module is the first that is imported after the setup.
IMPORTER = """
import os, sys, traceback
import django

django.setup()
failed = 0
for name in sys.argv[1:]:
    child = os.fork()
    if child == 0:
        try:
            __import__(name)
        except BaseException:
            print(f"--- {name} cannot be the first import", flush=True)
            traceback.print_exc(limit=-3)
            os._exit(1)
        os._exit(0)
    failed += os.waitpid(child, 0)[1] != 0
sys.exit(failed != 0)
"""


# Needs django.tasks, which Django has since 6.0.
TASK_BACKEND = "offload.jobs.task_backend"


def modules(project: Path) -> list[str]:
    """The dotted names of all modules of the standard that this Django can import."""
    files = [file for package in PACKAGES for file in (project / package).rglob("*.py")]
    names = [".".join(file.relative_to(project).with_suffix("").parts) for file in files]
    found = sorted(name.removesuffix(".__init__") for name in names)
    return [name for name in found if name != TASK_BACKEND or django.VERSION >= (6, 0)]


@pytest.mark.timeout(900)
def test_every_module_can_be_the_first_one_imported(tmp_path: Path) -> None:
    # Without the example, so that no feature's jobs.py imports anything before.
    websockets = "yes" if find_spec("channels") else "no"
    assert bake(tmp_path, example="no", websockets=websockets).returncode == 0
    project = tmp_path / "risk_desk"
    names = modules(project)
    assert len(names) > 100

    def import_alone(batch: list[str]) -> str:
        ran = run(
            sys.executable,
            "-c",
            IMPORTER,
            *batch,
            cwd=project,
            DJANGO_SETTINGS_MODULE="config.settings",
        )
        return ran.stdout if ran.returncode else ""

    with ThreadPoolExecutor(BATCHES) as interpreters:
        batches = [names[number::BATCHES] for number in range(BATCHES)]
        found = "".join(interpreters.map(import_alone, batches))
    assert not found, found


def room_of(module: str) -> str:
    """The folder that a module of `offload` is in."""
    folder = module.removeprefix("offload").lstrip(".").partition(".")[0]
    return folder if folder in ROOMS else ""


@pytest.mark.parametrize("room", ROOMS)
def test_no_module_imports_itself_in_a_circle_not_even_for_types(room: str) -> None:
    graph = grimp.build_graph("offload", exclude_type_checking_imports=False, cache_dir=None)
    circles = [
        " -> ".join([module, *chain])
        for module in sorted(graph.modules)
        if room_of(module) == room
        for imported in sorted(graph.find_modules_directly_imported_by(module))
        if (chain := graph.find_shortest_chain(importer=imported, imported=module))
    ]
    assert not circles, "\n".join(circles)


@pytest.mark.parametrize("example", ["yes", "no"])
def test_what_production_runs_imports_neither_the_service_nor_development(
    tmp_path: Path, example: str
) -> None:
    assert bake(tmp_path, example=example, package="own_code").returncode == 0
    outside = ("own_code", "config", "sandbox", "benchmarks", "tests", "offload_dev")
    found = [
        f"{file.relative_to(tmp_path)}: {line.strip()}"
        for file in (tmp_path / "risk_desk" / "offload").rglob("*.py")
        for line in file.read_text().splitlines()
        if line.strip().startswith(
            tuple(f"{word} {name}" for word in ("import", "from") for name in outside)
        )
    ]
    assert found == []

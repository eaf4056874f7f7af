"""The table of the four files: what api.py, upstreams.py, compute.py and jobs.py may not import."""

from collections.abc import Iterator
from dataclasses import dataclass

from offload_dev.lint.findings import Finding, place
from offload_dev.lint.names import NAMES
from offload_dev.lint.source import Module, Project

WAITING, COMPUTING = NAMES["rooms"]["waiting"], NAMES["rooms"]["computing"]


@dataclass(frozen=True)
class Room:
    """One of the four files: the packages, and the modules of the service, that it may not import."""

    rule: str
    packages: list[str]
    modules: set[str]


ROOMS = {
    "api": Room("OFF601", ["celery", *WAITING, *COMPUTING], {"compute"}),
    "upstreams": Room("OFF602", ["django.db", "celery", *COMPUTING], {"models", "compute", "jobs"}),
    "compute": Room(
        "OFF603",
        ["django", "offload", "asyncio", "celery", *WAITING],
        {"models", "upstreams", "jobs", "api"},
    ),
    "jobs": Room(
        "OFF604",
        ["django", "asyncio", "celery", *WAITING, *COMPUTING],
        {"models", "upstreams", "api", "compute"},
    ),
}


def crossings(project: Project) -> Iterator[Finding]:
    """Imports that leave their room. Only services of this standard have rooms."""
    if not project.of_standard:
        return
    for module in project.modules.values():
        room = module.dotted.rpartition(".")[2]
        if room in ROOMS and not module.dotted.startswith("offload."):
            yield from _leaving(project, module, ROOMS[room])


def _leaving(project: Project, module: Module, room: Room) -> Iterator[Finding]:
    for line, target, chain in _reached(project, module, module, set()):
        name = target if target not in project.modules else target.rpartition(".")[2]
        if name in room.modules or any(
            f"{target}.".startswith(f"{package}.") for package in room.packages
        ):
            yield Finding(
                place(module.path, project.root), line, room.rule, f"import of {target}", chain
            )


def _reached(
    project: Project,
    start: Module,
    module: Module,
    seen: set[str],
    chain: tuple[str, ...] = (),
    first: int = 0,
) -> Iterator[tuple[int, str, tuple[str, ...]]]:
    """Every import from a module on, through modules that belong to no room, with the imports on
    the way.
    """
    for name, line in module.imported():
        target = next(
            (known for known in (name, name.rpartition(".")[0]) if known in project.modules), name
        )
        if target in seen or target == start.dotted:
            continue
        seen.add(target)
        steps = (*chain, f"{place(module.path, project.root)}:{line} import {target}")
        yield first or line, target, steps if chain else ()
        further = project.modules.get(target)
        if (
            further is not None
            and target.rpartition(".")[2] not in ROOMS
            and not target.startswith("offload.")
        ):
            yield from _reached(project, start, further, seen, steps, first or line)

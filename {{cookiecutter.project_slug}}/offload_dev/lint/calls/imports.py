"""Follows the imports of a feature's five files, and finds those that a file may not make."""

from collections import deque
from collections.abc import Iterable, Iterator

from offload_dev.lint.checks.violations import ChainStep, Violation
from offload_dev.lint.source.project import Project
from offload_dev.lint.source.tree import Module

FILES = {"api", "upstreams", "compute", "jobs", "rows"}


def forbidden_imports(
    module: Module,
    project: Project,
    *,
    file: str,
    packages: Iterable[str],
    modules: set[str],
    in_functions: bool = True,
    instead: str = "",
) -> Iterator[Violation]:
    """The imports of one of these files that it may not make, by itself or through helpers.

    Only services of this standard have these files, so no other project is checked.

    Args:
        file: which of them is meant; another module has no violations.
        packages: the packages that it may not import.
        modules: the names of the service's own modules that it may not import.
        in_functions: whether imports inside of functions count, too.
        instead: what to do; empty if the rule's own sentence says it.
    """
    is_meant = module.bare_name == file and not _is_standard(module.dotted)
    if not is_meant or not project.of_standard:
        return

    for line, target, chain in _reached(project, module, in_functions):
        name = target.rpartition(".")[2] if target in project.modules else target
        is_package = any(f"{target}.".startswith(f"{package}.") for package in packages)
        if name in modules or is_package:
            said = f"this import loads {target}, but"
            yield Violation(line, said, instead=instead, chain=chain)


Reached = tuple[int, str, tuple[ChainStep, ...]]


def _reached(project: Project, start: Module, in_functions: bool) -> Iterator[Reached]:
    """Every module that is imported, with the line in the first file and the steps on the way.

    Imports are followed through the service's helpers, and not through other files of the five. The
    shortest way to a module comes first.
    """
    seen = {start.dotted}
    waiting: deque[tuple[Module, int, tuple[ChainStep, ...]]] = deque([(start, 0, ())])
    while waiting:
        module, first_line, steps = waiting.popleft()
        for name, line in module.imported(in_functions=in_functions):
            target = _module_of(name, project)
            if target in seen:
                continue
            seen.add(target)

            chain = (*steps, ChainStep(module, line, f"import {target}"))
            yield first_line or line, target, chain if steps else ()

            is_helper = target.rpartition(".")[2] not in FILES and not _is_standard(target)
            if is_helper and target in project.modules:
                waiting.append((project.modules[target], first_line or line, chain))


def _module_of(name: str, project: Project) -> str:
    """The project's module of an imported name, which may be the name itself or hold it."""
    known = (name, name.rpartition(".")[0])
    return next((each for each in known if each in project.modules), name)


def _is_standard(dotted: str) -> bool:
    return dotted.startswith("offload.")

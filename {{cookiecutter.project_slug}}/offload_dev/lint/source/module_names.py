"""The names of a project's files, and which file an import means."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from offload_dev.lint.source.source_files import is_there

# Folders that are no packages, above a file: an import may begin with so many of them.
MAX_FOLDERS = 3


class ModuleNames:
    """Gives each file a name of its own, and finds the file that an import means.

    A file has the name by which packages hold it: `shop.views`. Several services of one repository
    may have files of the same name. They are named by their path: `backend.shop.views`.
    """

    def __init__(self, root: Path, paths: Iterable[Path]) -> None:
        in_packages = {path: _in_packages(path) for path in paths}
        counts = Counter(in_packages.values())
        self._names: dict[Path, str] = {}
        self._by_import: dict[str, list[Path]] = {}
        for path, name in in_packages.items():
            folders = _folders_above(path, name, root)
            is_only_one = counts[name] == 1
            self._names[path] = name if is_only_one else ".".join([*folders, name])
            for count in range(min(len(folders), MAX_FOLDERS) + 1):
                imported = ".".join([*folders[len(folders) - count :], name])
                self._by_import.setdefault(imported, []).append(path)

    def of(self, path: Path) -> str:
        """The name of a file."""
        return self._names[path]

    def imported(self, name: str, importer: Path) -> str:
        """The name of what an import names: its file's own name, and the rest."""
        parts = name.split(".")
        for count in range(len(parts), 0, -1):
            found = self._by_import.get(".".join(parts[:count]), [])
            # A file `redis.py` in another folder is not what `import redis` means.
            near = [path for path in found if count > 1 or path.parent in importer.parents]
            if near:
                nearest = max(near, key=lambda path: _in_common(path, importer))
                return ".".join([self._names[nearest], *parts[count:]])
        return name

    def relative(self, level: int, parts: list[str], importer: Path) -> str:
        """The name of what `from . import …` names; `level` is the number of dots."""
        folder = importer.parents[level - 1]
        for count in range(len(parts), -1, -1):
            base = folder.joinpath(*parts[:count])
            for path in (base.with_name(f"{base.name}.py"), base / "__init__.py"):
                if path in self._names:
                    return ".".join([self._names[path], *parts[count:]])
        return ".".join([folder.name, *parts])


def _in_packages(path: Path) -> str:
    """The import name of a file, from the first directory above it that is no package."""
    parts = [] if path.name == "__init__.py" else [path.stem]
    for directory in path.resolve().parents:
        if not is_there(directory / "__init__.py"):
            break
        parts.insert(0, directory.name)
    return ".".join(parts) or path.stem


def _folders_above(path: Path, name: str, root: Path) -> list[str]:
    """The folders between the root and the first package of a file."""
    if not path.is_relative_to(root):
        return []
    parts = path.relative_to(root).parts[:-1]
    is_package = path.name == "__init__.py"
    in_packages = len(name.split(".")) - (0 if is_package else 1)
    return list(parts[: max(0, len(parts) - in_packages)])


def _in_common(first: Path, second: Path) -> int:
    """How many folders two files have in common."""
    pairs = zip(first.parts, second.parts, strict=False)
    return next((index for index, (one, other) in enumerate(pairs) if one != other), 0)

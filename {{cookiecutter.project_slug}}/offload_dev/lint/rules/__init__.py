"""The rules of the linter, one file each. `python -m offload_dev.lint` runs them all.

A new rule is a new file here, named after its number. It needs a page `docs/guard/OFFnnn.md`, and a
case in the template's `tests/guard/corpus/`.
"""

from importlib import import_module
from pkgutil import iter_modules

# Importing a file registers its rule. By name, so in the order of the numbers.
for _file in sorted(file.name for file in iter_modules(__path__)):
    import_module(f"{__name__}.{_file}")

"""Archives of `zipfile`, which keeps files as they are unless it is told to compress them."""

import re

from offload_dev.lint.source.patterns import Patterns
from offload_dev.lint.source.tree import Module

ADDS = Patterns("zipfile.ZipFile.{write,writestr}")
COMPRESSES = re.compile(r"ZIP_(DEFLATED|BZIP2|LZMA)|compress")


def only_stores(origin: str, module: Module) -> bool:
    """Whether a call adds a file to an archive of a module that compresses nothing."""
    return ADDS.matches(origin) and not module.matches(COMPRESSES)

"""The text of a source that runs: without what only names a function, and does not use it."""

import re

# These name a function, but do not use it. An import under another name does.
COMMENT = re.compile(r"^[ \t]*#.*$", re.MULTILINE)
# A text that begins in the middle of a line is no docstring.
LONG_TEXT = re.compile(r'(^[ \t]*)?[rRuU]?("""|\'\'\').*?\2', re.MULTILINE | re.DOTALL)
EXPORTS = re.compile(r"^__all__\b[^=\n]*=\s*[\[(][^\])]*[\])]", re.MULTILINE)


def code_of(text: str) -> str:
    """A source without its comments, docstrings and exports."""
    text = LONG_TEXT.sub(lambda found: found[0] if found[1] is None else "", COMMENT.sub("", text))
    return EXPORTS.sub("", text)

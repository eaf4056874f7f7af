"""The linter: finds in the source what breaks the rule. It needs Python 3.11 and nothing else.

A finding comes into being in this order. A package imports only those that stand above it here; but
two `rules` check the comments that `report` reads.

1. `source` reads the files, and `settings` what they say outside of functions.
2. `origins` names what an expression is: `requests.get`, a row of a model, a task.
3. `functions` writes down what the lines of each function do.
4. `checks` has what a rule looks for in one function, and `tasks` the same for Celery.
5. `calls` follows calls between functions, to see whether a request or the event loop runs a line.
6. `rules` has a file for each number, which says what is wrong and what to write instead.
7. `report` leaves out the findings that may stay, and prints the others.

`grade` does all this for a project, and `__main__` is the command.
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - an older one would only say which module it lacks
    sys.exit("offload_dev.lint needs Python 3.11 or newer, and this is " + sys.version.split()[0])

"""Opens the standard streams of a process that was started without them."""

import os
import sys

STDIN, STDOUT, STDERR = 0, 1, 2


def open_standard_streams() -> None:
    """Give what is closed of stdin, stdout and stderr to `/dev/null`.

    The system gives each new file the lowest number that is free. Without this, the log of a
    process that was started with `2>&-` would go into the file that happens to be number 2, such
    as a database.
    """
    for number in (STDIN, STDOUT, STDERR):
        try:
            os.fstat(number)
        except OSError:
            # Those below it are open, so it gets this number.
            os.open(os.devnull, os.O_RDWR)
            os.set_inheritable(number, True)

    # Python has None for those that were closed when it started.
    sys.stdout = sys.stdout or open(STDOUT, "w", closefd=False)  # noqa: SIM115  it stays open
    sys.stderr = sys.stderr or open(STDERR, "w", closefd=False)  # noqa: SIM115

"""How long a thread waited for a processor, which is no fault of the code in it."""

import os
from contextlib import suppress


class CpuWait:
    """Reads how long one thread was ready to run while the machine ran others.

    Linux keeps this figure (/proc/…/schedstat, second column, nanoseconds). On other systems it is
    always 0.

    Args:
        native_id: the system's number of a thread of this process.
    """

    def __init__(self, native_id: int) -> None:
        self._file = -1
        path = f"/proc/self/task/{native_id}/schedstat"
        with suppress(OSError):
            self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def seconds(self) -> float:
        """Seconds of waiting since the thread started."""
        if self._file < 0:
            return 0.0
        return int(os.pread(self._file, 80, 0).split()[1]) / 1e9

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)

"""A mount that hangs, as one of a network file system whose server is away (needs root).

`python stalled_mount.py FOLDER` mounts it, says so and keeps it until it is killed.
"""

import ctypes
import os
import struct
import sys

# /usr/include/linux/fuse.h: the header of a request, that of an answer, and of what `init` answers.
REQUEST_BYTES = 1 << 17
INIT = 26
ANSWER = struct.Struct("<IiQ")
VERSION = struct.Struct("<IIIIHHIIHHI28x")
MAX_WRITE = 1 << 16


def mount(folder: str) -> int:
    """Mount at a folder. The descriptor from which the kernel's requests are read."""
    device = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0"
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"stalled", folder.encode(), b"fuse.stalled", 0, options.encode()):
        raise OSError(ctypes.get_errno(), "mount")
    return device


def serve(device: int) -> None:
    """Answer the first request, and read the others without an answer."""
    while True:
        request = os.read(device, REQUEST_BYTES)
        _, operation, number = struct.unpack_from("<IIQ", request)
        if operation == INIT:
            body = VERSION.pack(7, 31, 0, 0, 12, 9, MAX_WRITE, 1, 0, 0, 0)
            os.write(device, ANSWER.pack(ANSWER.size + len(body), 0, number) + body)
            print("mounted", flush=True)


if __name__ == "__main__":
    serve(mount(sys.argv[1]))

"""A name server that knows the addresses of one service, as the one inside of a compose network.

`python name_server.py FILE` answers on 127.0.0.1 with the addresses in FILE, whatever the name.
"""

import socket
import struct
import sys
from pathlib import Path

# Seconds for which a client may keep an answer. Docker says 600, and nginx is told otherwise.
LIFETIME_SECONDS = 600
HEADER_BYTES = 12
# RFC 1035: type A, class IN, and a pointer to the name in the question.
ADDRESS_RECORD, INTERNET, SAME_NAME = 1, 1, 0xC00C
# An answer, and recursion is available.
FLAGS = 0x8180


def answer(query: bytes, addresses: list[str]) -> bytes:
    """The answer to a query for an address."""
    end = query.index(b"\0", HEADER_BYTES) + 5
    question = query[HEADER_BYTES:end]
    head = struct.pack(">HHHHHH", *struct.unpack(">H", query[:2]), FLAGS, 1, len(addresses), 0, 0)
    fixed = struct.pack(">HHHIH", SAME_NAME, ADDRESS_RECORD, INTERNET, LIFETIME_SECONDS, 4)
    return head + question + b"".join(fixed + socket.inet_aton(each) for each in addresses)


def main(file: Path) -> None:
    """Answer for ever."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 53))
        while True:
            query, client = server.recvfrom(512)
            server.sendto(answer(query, file.read_text().split()), client)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

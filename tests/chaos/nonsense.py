"""A server at the port of Redis that talks nonsense."""

import random
import socket
import threading
from collections.abc import Sequence
from contextlib import suppress

# Other protocols, answers that are none, and answers to another question. redis-py fails at them
# with errors of its own, and also with ValueError, AttributeError, TypeError and RecursionError.
NONSENSE = (
    b"HTTP/1.1 400 Bad Request\r\n\r\n",
    b"SSH-2.0-OpenSSH_9.7\r\n",
    b":abc\r\n",
    b"$x\r\n",
    b"*-7\r\n",
    b"*1\r\n:1\r\n",
    b"+OK\r\n",
    b"+PONG\r\n",
    b":1\r\n",
    b"*0\r\n",
    b"_\r\n",
    b"#t\r\n",
    b",1.x\r\n",
    b"(12x\r\n",
    b"~1\r\n*0\r\n",
    b"-MOVED x\r\n",
    b"-\xff\xfe\r\n",
    b"$99999999999\r\n",
    b"*2\r\n" * 2000,
    b"*3\r\n$7\r\nmessage\r\n$1\r\nx\r\n$3\r\nabc\r\n",
    bytes(range(256)) + b"\r\n",
)


class Nonsense:
    """Answers whatever it is sent with one of these, until it is closed."""

    def __init__(self, port: int, choices: Sequence[bytes] = NONSENSE) -> None:
        self._choices = choices
        self._listener = socket.create_server(("127.0.0.1", port))
        self._clients: list[socket.socket] = []
        self.answers = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._clients.append(client)
                threading.Thread(target=self._answer, args=(client,), daemon=True).start()

    def _answer(self, client: socket.socket) -> None:
        with suppress(OSError):
            while client.recv(65536):
                client.sendall(random.choice(self._choices))
                self.answers += 1

    def close(self) -> None:
        """Close every connection, so that the port is free."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for client in self._clients:
            with suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
            client.close()

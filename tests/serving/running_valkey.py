"""A Valkey in which web processes count."""

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import redis
from conftest import eventually
from postgresql_server import free_port

from offload_dev.launcher.embedded_valkey import command


class Valkey:
    """A running Valkey. Frozen, it answers nothing."""

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.client = redis.Redis(port=self.port, socket_timeout=30)
        self._process = subprocess.Popen(command(self.port), stdout=subprocess.DEVNULL)

    def answers(self) -> bool:
        try:
            return bool(self.client.ping())
        except redis.RedisError:
            return False

    @contextmanager
    def frozen(self) -> Iterator[None]:
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def end(self) -> None:
        self.client.close()
        self._process.kill()
        self._process.wait()


@contextmanager
def running_valkey() -> Iterator[Valkey]:
    valkey = Valkey()
    try:
        eventually(valkey.answers, "Valkey")
        yield valkey
    finally:
        valkey.end()

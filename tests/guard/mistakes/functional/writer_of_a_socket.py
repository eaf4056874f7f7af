"""A message is published."""

import asyncio
import socket

from shop.client import Client


class Inner:
    """In place of the library's client."""

    def __init__(self, sock):
        self.sock, self.sent = sock, []

    def socket(self):
        return self.sock

    def loop_write(self):
        asyncio.get_running_loop().remove_writer(self.sock)

    def publish(self, topic, payload):
        self.sent.append(topic)


async def test_a_message_is_published():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        inner = Inner(ours)
        await Client(inner).publish("a", b"b")
        await asyncio.sleep(0.05)
        assert inner.sent == ["a"]

"""Each person is sent to the topic."""

import sys
from types import ModuleType


class Producer:
    """In place of the driver, which needs a broker."""

    sent = []

    def __init__(self, bootstrap_servers):
        pass

    def send(self, topic, value):
        self.sent.append((topic, value))

    def flush(self):
        pass


sys.modules["kafka"] = ModuleType("kafka")
sys.modules["kafka"].KafkaProducer = Producer

from shop.activity import publish  # noqa: E402


async def test_each_person_is_sent():
    await publish(["a", "b"])
    assert len(Producer.sent) == 2

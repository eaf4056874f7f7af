import time

import redis
from django.apps import apps
from django.conf import settings


class Counter:
    def __init__(self, name: str, help_text: str):
        self.name, self.help_text, self.value = name, help_text, 0


class Metrics:
    def __init__(self, save_automatically: bool = True, node_name: str | None = None):
        self.pipe = redis.Redis.from_url(settings.BROKER_URL, socket_timeout=5).pipeline()
        self.saved_at = time.time()
        self.save_automatically = save_automatically
        if node_name:
            self.node_name = node_name
        else:
            Node = apps.get_model("cluster", "Node")
            self.node_name = Node.objects.me().hostname
        self.counters = {
            counter.name: counter
            for counter in (
                Counter("messages_sent", "Messages sent to other nodes"),
                Counter("messages_received", "Messages received from other nodes"),
            )
        }

    def count(self, name: str, amount: int = 1) -> None:
        self.counters[name].value += amount

    def save(self) -> None:
        for counter in self.counters.values():
            self.pipe.hset(f"metrics_{self.node_name}", counter.name, counter.value)
        self.pipe.execute()
        self.saved_at = time.time()

import asyncio
import threading
from dataclasses import dataclass, field


@dataclass(eq=False)
class Listener:
    channels: set[str]
    loop: asyncio.AbstractEventLoop
    aevent: asyncio.Event = field(default_factory=asyncio.Event)
    items: list[tuple[str, str]] = field(default_factory=list)

    def wake(self) -> None:
        self.loop.call_soon_threadsafe(self.aevent.set)

    def take(self) -> list[tuple[str, str]]:
        self.aevent.clear()
        taken, self.items = self.items, []
        return taken


class ListenerManager:
    def __init__(self):
        self._lock = threading.Lock()
        self._listeners: set[Listener] = set()

    def add(self, listener: Listener) -> None:
        with self._lock:
            self._listeners.add(listener)

    def remove(self, listener: Listener) -> None:
        with self._lock:
            self._listeners.discard(listener)

    def publish(self, channel: str, data: str) -> None:
        with self._lock:
            waiting = [one for one in self._listeners if channel in one.channels]
        for listener in waiting:
            listener.items.append((channel, data))
            listener.wake()


manager = ListenerManager()

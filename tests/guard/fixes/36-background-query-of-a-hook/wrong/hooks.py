import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from asgiref.sync import iscoroutinefunction, sync_to_async

logger = logging.getLogger(__name__)


@dataclass
class Query:
    """What a component knows of a query that runs in the background."""

    function: Callable
    kwargs: dict = field(default_factory=dict)
    data: Any = None
    loading: bool = True
    error: Exception | None = None
    changed: Callable[[], None] = lambda: None

    async def execute(self) -> None:
        try:
            if iscoroutinefunction(self.function):
                self.data = await self.function(**self.kwargs)
            else:
                self.data = await sync_to_async(self.function)(**self.kwargs)
            self.error = None
        except Exception as error:
            logger.exception("The query %s failed", self.function)
            self.error = error
        finally:
            self.loading = False
            self.changed()

    def schedule(self) -> None:
        self.loading = True
        asyncio.create_task(self.execute())


def use_query(function: Callable, kwargs: dict, changed: Callable[[], None]) -> Query:
    query = Query(function, kwargs, changed=changed)
    query.schedule()
    return query

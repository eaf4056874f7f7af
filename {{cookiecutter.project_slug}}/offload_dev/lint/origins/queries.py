"""What the origins of queries say: whether they are evaluated, and what their rows are."""

from collections.abc import Callable

from offload_dev.lint.origins.models import WITHOUT_ROWS, Models
from offload_dev.lint.source.classes import Classes
from offload_dev.lint.source.names import ORM
from offload_dev.lint.source.tree import CodeScope


class Queries:
    """Answers questions about queries. `Order.objects.filter` is the origin of one.

    Args:
        returned: the origin of what a method of a manager returns, by the method and the manager;
            empty if it is not known.
    """

    def __init__(
        self, models: Models, classes: Classes, returned: Callable[[str, str], str]
    ) -> None:
        self._models, self._classes, self._returned = models, classes, returned
        self._lazy: dict[str, bool] = {}

    def forget(self) -> None:
        """Ask everything again, since more origins are known now."""
        self._lazy.clear()

    def is_query(self, origin: str) -> bool:
        """Whether this is a queryset that has not been evaluated yet."""
        found = self._models.query(origin)
        if found is None:
            return False
        return all(
            method in ORM["lazy"] or self._is_lazy(found.manager, method)
            for method in found.methods
        )

    def row(self, origin: str) -> str:
        """The origin of one row of a query; empty if its rows are not instances of a model."""
        found = self._models.query(origin)
        return found.model if found and WITHOUT_ROWS.isdisjoint(found.methods) else ""

    def method(self, owner: str, name: str) -> CodeScope | None:
        """The method of a model's own manager or queryset; None if `owner` is no query."""
        query = self._models.query(owner)
        if query is None:
            return None
        model, _, manager = query.manager.rpartition(".")
        holders = self._models.manager_classes(model, manager) or [query.manager]
        return next(filter(None, (self._classes.method(each, name) for each in holders)), None)

    def _is_lazy(self, manager: str, method: str) -> bool:
        """Whether a manager's own method returns a query."""
        name = f"{manager}.{method}"
        if name not in self._lazy:
            # Methods that return one another's result end here.
            self._lazy[name] = False
            self._lazy[name] = self.is_query(self._returned(name, manager))
        return self._lazy[name]

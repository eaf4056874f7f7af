import strawberry
from django.db.models import QuerySet
from strawberry import Info

from .cursors import after, encode


@strawberry.type
class Edge:
    cursor: str
    id: int
    name: str

    @classmethod
    def resolve_edge(cls, node) -> "Edge":
        return cls(cursor=encode([node.name, node.pk]), id=node.pk, name=node.name)


@strawberry.type
class Connection:
    edges: list[Edge]
    has_next_page: bool
    end_cursor: str | None

    @classmethod
    def resolve_connection(
        cls, nodes: QuerySet, *, info: Info, first: int = 50, cursor: str | None = None
    ):
        queryset = after(nodes.order_by("name", "pk"), cursor)[: first + 1]
        has_more = len(queryset) > first
        edges = [Edge.resolve_edge(node) for node in list(queryset)[:first]]
        end = edges[-1].cursor if edges else None
        return cls(edges=edges, has_next_page=has_more, end_cursor=end)

import strawberry
from strawberry import Info

from .connections import Connection
from .models import Project


@strawberry.type
class Query:
    @strawberry.field
    def projects(self, info: Info, first: int = 50, after: str | None = None) -> Connection:
        return Connection.resolve_connection(
            Project.objects.all(), info=info, first=first, cursor=after
        )


schema = strawberry.Schema(query=Query)

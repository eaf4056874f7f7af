import base64
import json

from django.db.models import Q, QuerySet


def encode(values: list) -> str:
    return base64.urlsafe_b64encode(json.dumps(values, default=str).encode()).decode()


def decode(cursor: str) -> list:
    return json.loads(base64.urlsafe_b64decode(cursor.encode()))


def after(queryset: QuerySet, cursor: str | None) -> QuerySet:
    if not cursor:
        return queryset
    name, pk = decode(cursor)
    return queryset.filter(Q(name__gt=name) | Q(name=name, pk__gt=pk))

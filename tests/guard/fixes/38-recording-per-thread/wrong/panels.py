from django.db import connections

from .tracking import QueryDuringTemplate, recording, wrap_cursor


class SQLPanel:
    def __init__(self):
        self.queries: list[tuple[str, float]] = []

    def record(self, sql: str, seconds: float) -> None:
        self.queries.append((sql, seconds))

    def enable(self) -> None:
        for connection in connections.all():
            wrap_cursor(connection, self)


class TemplatesPanel:
    def describe(self, context: dict) -> dict:
        recording(False)
        try:
            return {key: self._text(value) for key, value in context.items()}
        finally:
            recording(True)

    @staticmethod
    def _text(value) -> str:
        try:
            return str(value)
        except QueryDuringTemplate:
            return "<not shown: it would query>"

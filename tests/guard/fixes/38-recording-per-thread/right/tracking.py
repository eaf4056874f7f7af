import contextvars
import time

_recording: contextvars.ContextVar[bool] = contextvars.ContextVar("recording", default=True)


class QueryDuringTemplate(Exception):
    """A template queried although its panel must not."""


def recording(value: bool) -> None:
    _recording.set(value)


def wrap_cursor(connection, panel) -> None:
    if hasattr(connection, "_plain_cursor"):
        return
    connection._plain_cursor = connection.cursor

    def cursor(*args, **kwargs):
        inner = connection._plain_cursor(*args, **kwargs)
        return RecordingCursor(inner, panel) if _recording.get() else RefusingCursor(inner, panel)

    connection.cursor = cursor


class CursorWrapper:
    def __init__(self, cursor, panel):
        self.cursor, self.panel = cursor, panel

    def __getattr__(self, name):
        return getattr(self.cursor, name)

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self.cursor.close()


class RecordingCursor(CursorWrapper):
    def execute(self, sql, params=None):
        started = time.perf_counter()
        try:
            return self.cursor.execute(sql, params)
        finally:
            self.panel.record(sql, time.perf_counter() - started)


class RefusingCursor(CursorWrapper):
    def execute(self, sql, params=None):
        raise QueryDuringTemplate(sql)

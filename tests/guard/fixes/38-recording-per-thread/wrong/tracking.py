import threading
import time


class QueryDuringTemplate(Exception):
    """A template queried although its panel must not."""


class State(threading.local):
    def __init__(self):
        self.enabled = True

    @property
    def cursor_class(self):
        return RecordingCursor if self.enabled else RefusingCursor

    def recording(self, value: bool) -> None:
        self.enabled = value


state = State()
recording = state.recording


def wrap_cursor(connection, panel) -> None:
    if hasattr(connection, "_plain_cursor"):
        return
    connection._plain_cursor = connection.cursor

    def cursor(*args, **kwargs):
        inner = connection._plain_cursor(*args, **kwargs)
        return state.cursor_class(inner, panel)

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

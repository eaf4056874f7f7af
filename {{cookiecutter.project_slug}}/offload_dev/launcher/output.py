"""What the launcher prints: the lines of all processes, and the box with the addresses."""

from honcho.printer import Message, Printer

# Celery says this to every worker that is told to stop, also when a file was saved and the worker
# only restarts. Here a second Ctrl-C does nothing else than the first.
MISLEADING = "Hitting Ctrl+C again"


class ProcessPrinter(Printer):  # type: ignore[misc]
    """Prints each line with the name of its process, and leaves out what would mislead."""

    def write(self, message: Message) -> None:
        text = message.data
        if isinstance(text, bytes):
            text = text.decode("utf-8", "replace")
        if MISLEADING not in text:
            super().write(message)


def print_box(lines: list[str]) -> None:
    """Print lines between two rules, so that they are seen among the log lines."""
    width = max(map(len, lines))
    print("\n".join(["", "─" * width, *lines, "─" * width, ""]), flush=True)  # noqa: T201

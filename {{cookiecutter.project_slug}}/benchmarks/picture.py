"""The pictures of a run: one overview that is read in ten seconds, and one picture per row."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

# The backend without a window: the pictures are files.
mpl.use("agg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.verdict import ms

# Colours of Okabe and Ito: people who are colour-blind can tell them apart. The pictures have a
# background of their own, so that they are legible on light and on dark pages.
GOOD, PLAIN, HARM, INK, FAINT, CARD = (
    "#0072B2",
    "#B4BEC9",
    "#D55E00",
    "#1F2933",
    "#65717F",
    "#FFFFFF",
)
# A way with this share of the best way's throughput is as good: the difference decides nothing.
NEAR_THE_BEST = 0.8
# A neighbour that waits longer notices it.
CALM_MS = 50.0
# More database connections count as harm. A web process keeps 8 for requests, and a few for itself.
MAX_CONNECTIONS = 16

NAMES = {
    "async": "async view",
    "sync": "sync view",
    "sync_to_async": "sync_to_async",
    "threads": "thread pool",
    "worker": "worker process",
}


def draw(run: Mapping[str, Any], folder: Path) -> list[Path]:
    """Draw everything that was measured, as SVG and PNG; returns the files."""
    # Any: matplotlib's types want each key written out.
    style: Any = {
        "font.family": "sans-serif",
        "font.size": 11,
        "text.color": INK,
        "axes.labelcolor": FAINT,
        "figure.facecolor": CARD,
        "axes.facecolor": CARD,
        # Text as paths looks the same on each machine, whatever fonts it has.
        "svg.fonttype": "path",
        # With a fixed salt the same run gives the same file.
        "svg.hashsalt": "benchmarks",
    }
    files = []
    with mpl.rc_context(style):
        works = {name: row for name, row in run["rows"].items() if set(row["ways"]) == set(NAMES)}
        if works:
            files += _save(overview(works, run["machine"]), folder / "overview")
        for name, row in run["rows"].items():
            files += _save(detail(row), folder / name)
    return files


def _save(figure: Figure, stem: Path) -> list[Path]:
    files = [stem.with_suffix(".svg"), stem.with_suffix(".png")]
    figure.savefig(files[0], metadata={"Date": None})
    figure.savefig(files[1], dpi=160)
    plt.close(figure)
    return files


def winners(ways: Mapping[str, Any]) -> set[str]:
    """The best ways: near the fastest of those that do not harm other requests.

    A way does harm if neighbours wait for it, if calls are refused, or if it takes many database
    connections.
    """
    harmless = {
        way: it
        for way, it in ways.items()
        if it["neighbour_p99"] < CALM_MS
        and not it["refused"]
        and it["connections"] <= MAX_CONNECTIONS
    } or ways
    best = max(figures["per_second"] for figures in harmless.values())
    return {
        way for way, figures in harmless.items() if figures["per_second"] >= NEAR_THE_BEST * best
    }


def overview(works: Mapping[str, Any], machine: Mapping[str, Any]) -> Figure:
    """Which way is the best for which work, and what it costs a neighbour."""
    height = 1.9 + 1.95 * len(works)
    figure, panels = plt.subplots(len(works), 2, figsize=(11, height), squeeze=False)
    figure.subplots_adjust(
        left=0.15, right=0.97, top=1 - 1.75 / height, bottom=0.5 / height, hspace=0.32, wspace=0.08
    )

    _write_heads(figure, panels[0], height)
    longest = max(it["neighbour_p99"] for row in works.values() for it in row["ways"].values())
    for row, (left, right) in zip(works.values(), panels, strict=True):
        _draw_work(row, left, right, longest)
    _write_machine(figure, machine, height)
    return figure


def _write_heads(figure: Figure, first_panels: Sequence[Axes], height: float) -> None:
    """The title, the sentence below it, and the head of each column."""
    title = "Async for waiting. Processes for computing."
    figure.text(0.02, 1 - 0.42 / height, title, size=19, weight="bold")
    words = (
        "The same work, served five ways by one web process."
        " Blue: the best of the ways that do not harm other requests."
    )
    figure.text(0.02, 1 - 0.76 / height, words, color=FAINT)

    heads = (("requests per second", GOOD), ("meanwhile a neighbour waits (p99)", HARM))
    for panel, (words, colour) in zip(first_panels, heads, strict=True):
        left = panel.get_position().x0
        figure.text(left, 1 - 1.2 / height, words, size=12.5, color=colour, weight="bold")


def _draw_work(row: Mapping[str, Any], left: Axes, right: Axes, longest: float) -> None:
    """One work: on the left the requests per second, on the right the neighbour's wait."""
    ways, best = row["ways"], winners(row["ways"])
    speed = [it["per_second"] for it in ways.values()]
    colours = [GOOD if way in best else PLAIN for way in ways]
    _bars(left, [NAMES[way] for way in ways], speed, colours, map(_speed, ways.values()))
    # Space for what is written behind a figure.
    left.set_xlim(0, max(speed) * 1.55)

    waits = [it["neighbour_p99"] for it in ways.values()]
    colours = [HARM if wait >= CALM_MS else PLAIN for wait in waits]
    _bars(right, [], waits, colours, map(ms, waits))
    # One scale for all works, so that the harmful ways are seen at once.
    right.set_xlim(0, max(longest, 4 * CALM_MS) * 1.15)

    left.set_title(row["title"], loc="left", size=11.5, weight="bold", x=-0.31)
    for label, way in zip(left.get_yticklabels(), ways, strict=True):
        label.set_fontweight("bold" if way in best else "normal")


def _write_machine(figure: Figure, machine: Mapping[str, Any], height: float) -> None:
    packages = machine["packages"]
    words = (
        f"{machine['processor']}, {machine['cores']} cores; Python {machine['python']}, Django"
        f" {packages['django']}, uvicorn {packages['uvicorn']}, Celery {packages['celery']}"
    )
    figure.text(0.02, 0.16 / height, words, size=8.5, color=FAINT)


def detail(row: Mapping[str, Any]) -> Figure:
    """One row, with everything that was measured."""
    ways, best = row["ways"], winners(row["ways"])
    columns: list[tuple[str, str, Callable[[Any], str]]] = [
        ("CPU per request", "cpu", ms),
        ("requests per second", "per_second", _rate),
        ("answer after (p50)", "p50", ms),
        ("threads", "threads", str),
        ("db connections", "connections", str),
        ("calls refused", "refused", "{:.0%}".format),
        ("neighbour waits (p99)", "neighbour_p99", ms),
    ]
    columns = [column for column in columns if any(figures[column[1]] for figures in ways.values())]
    figure, panels = plt.subplots(
        1, len(columns), figsize=(15, 1.2 + 0.34 * len(ways)), layout="constrained"
    )
    figure.suptitle(row["title"], x=0.01, ha="left", size=14, weight="bold")
    for number, (panel, (title, key, write)) in enumerate(zip(panels, columns, strict=True)):
        values = [figures[key] for figures in ways.values()]
        colours = [GOOD if way in best else PLAIN for way in ways]
        if key == "neighbour_p99":
            colours = [HARM if value >= CALM_MS else PLAIN for value in values]
        _bars(
            panel,
            [] if number else [NAMES.get(way, way) for way in ways],
            values,
            colours,
            map(write, values),
        )
        panel.set_title(title, loc="left", size=10.5)
    return figure


def _bars(
    panel: Axes, labels: list[str], values: list[float], colours: list[str], texts: Iterable[str]
) -> None:
    """Horizontal bars, the first on top, each with its figure beside it instead of an axis."""
    places = range(len(values))
    drawn = panel.barh(places, values, color=colours, height=0.68)
    panel.bar_label(drawn, list(texts), padding=4, size=10.5)
    panel.set_yticks(places if labels else [], labels)
    panel.invert_yaxis()
    panel.set_xticks([])
    panel.set_xlim(0, max(values) * 1.28)
    panel.tick_params(length=0)
    panel.spines[:].set_visible(False)


def _speed(figures: Mapping[str, Any]) -> str:
    greedy = figures["connections"] > MAX_CONNECTIONS
    return _rate(figures["per_second"]) + (
        f", on {figures['connections']} connections" if greedy else ""
    )


def _rate(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"

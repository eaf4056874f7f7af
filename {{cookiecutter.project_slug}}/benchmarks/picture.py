"""The pictures of a run: one that a person understands in ten seconds, and one for each row."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl

# No window: the pictures are files.
mpl.use("agg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.verdict import ms

# Okabe and Ito's colours, which the colour-blind tell apart; on a card of its own, legible on light
# and dark pages.
GOOD, PLAIN, HARM, INK, FAINT, CARD = (
    "#0072B2",
    "#B4BEC9",
    "#D55E00",
    "#1F2933",
    "#65717F",
    "#FFFFFF",
)
# Of the best: nobody would choose between the two for speed.
NEAR = 0.8
# Milliseconds; a neighbour who waits longer notices.
CALM = 50.0
# Database connections; a web process keeps 8 for requests, and a few for itself.
THRIFTY = 16

NAMES = {
    "async": "async view",
    "sync": "sync view",
    "sync_to_async": "sync_to_async",
    "threads": "thread pool",
    "worker": "worker process",
}


def draw(run: Mapping[str, Any], folder: Path) -> list[Path]:
    """Draw all that was measured, as SVG and PNG; gives the files."""
    # Matplotlib types the keys one by one.
    style: Any = {
        "font.family": "sans-serif",
        "font.size": 11,
        "text.color": INK,
        "axes.labelcolor": FAINT,
        "figure.facecolor": CARD,
        "axes.facecolor": CARD,
        # The same everywhere, whatever fonts there are.
        "svg.fonttype": "path",
        # The same run draws the same file.
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
    """The ways nobody could better: close to the fastest of those that leave others alone.

    Who keeps neighbours waiting does not, nor who loses calls, nor who takes many of the database's
    connections.
    """
    harmless = {
        way: it
        for way, it in ways.items()
        if it["neighbour_p99"] < CALM and not it["refused"] and it["connections"] <= THRIFTY
    } or ways
    best = max(figures["per_second"] for figures in harmless.values())
    return {way for way, figures in harmless.items() if figures["per_second"] >= NEAR * best}


def overview(works: Mapping[str, Any], machine: Mapping[str, Any]) -> Figure:
    """Which way wins for which work, and what a neighbour pays for it."""
    height = 1.9 + 1.95 * len(works)
    figure, panels = plt.subplots(len(works), 2, figsize=(11, height), squeeze=False)
    figure.subplots_adjust(
        left=0.15, right=0.97, top=1 - 1.75 / height, bottom=0.5 / height, hspace=0.32, wspace=0.08
    )
    figure.text(
        0.02,
        1 - 0.42 / height,
        "Async for waiting. Processes for computing.",
        size=19,
        weight="bold",
    )
    words = "The same work, served five ways by one web process. Blue: the best that leaves others alone."
    figure.text(0.02, 1 - 0.76 / height, words, color=FAINT)
    for panel, words, colour in zip(
        panels[0],
        ("requests a second", "and meanwhile a neighbour waits (p99)"),
        (GOOD, HARM),
        strict=True,
    ):
        figure.text(
            panel.get_position().x0, 1 - 1.2 / height, words, size=12.5, color=colour, weight="bold"
        )
    longest = max(
        figures["neighbour_p99"] for row in works.values() for figures in row["ways"].values()
    )
    for row, (left, right) in zip(works.values(), panels, strict=True):
        ways, best = row["ways"], winners(row["ways"])
        speed = [figures["per_second"] for figures in ways.values()]
        pain = [figures["neighbour_p99"] for figures in ways.values()]
        _bars(
            left,
            [NAMES[way] for way in ways],
            speed,
            [GOOD if way in best else PLAIN for way in ways],
            map(_speed, ways.values()),
        )
        _bars(right, [], pain, [HARM if value >= CALM else PLAIN for value in pain], map(ms, pain))
        # Room for what stands behind a figure.
        left.set_xlim(0, max(speed) * 1.55)
        # One scale for all: what harms is seen at once.
        right.set_xlim(0, max(longest, 4 * CALM) * 1.15)
        left.set_title(row["title"], loc="left", size=11.5, weight="bold", x=-0.31)
        for label, way in zip(left.get_yticklabels(), ways, strict=True):
            label.set_weight("bold" if way in best else "normal")
    packages = machine["packages"]
    figure.text(
        0.02,
        0.16 / height,
        f"{machine['processor']}, {machine['cores']} cores; Python {machine['python']}, Django {packages['django']}, "
        f"uvicorn {packages['uvicorn']}, Celery {packages['celery']}",
        size=8.5,
        color=FAINT,
    )
    return figure


def detail(row: Mapping[str, Any]) -> Figure:
    """One row, everything that was measured."""
    ways, best = row["ways"], winners(row["ways"])
    columns: list[tuple[str, str, Callable[[Any], str]]] = [
        ("CPU a request", "cpu", ms),
        ("requests a second", "per_second", _rate),
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
            colours = [HARM if value >= CALM else PLAIN for value in values]
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
    """Horizontal bars from the top down, each with its figure beside it instead of an axis."""
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
    greedy = figures["connections"] > THRIFTY
    return _rate(figures["per_second"]) + (
        f", on {figures['connections']} connections" if greedy else ""
    )


def _rate(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"

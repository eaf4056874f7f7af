"""Writes the results of a run into `docs/proof.md`: `python tests/peers/proof.py FOLDER`.

FOLDER has the results of `make proof`. A person writes the prose of the page. This script writes
the blocks between `<!-- name -->` and `<!-- /name -->`.
"""

import json
import re
import shutil
import sys
from collections.abc import Iterable, Mapping
from math import inf
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "proof.md"
PICTURES = ROOT / "docs" / "proof"
HANDBOOK = ROOT / "{{cookiecutter.project_slug}}" / "docs" / "when-async-helps"


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table; all columns but the first are aligned to the right."""
    names = list(head)
    lines = [names, ["---", *["---:"] * (len(names) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def ms(value: float) -> str:
    """Milliseconds in a readable form; infinite means that no request was answered."""
    if value == inf:
        return "no answer"
    if value >= 1000:
        return f"{value / 1000:.1f} s"
    return f"{value:.0f} ms" if value >= 10 else f"{value:.2g} ms"


def machine(run: Mapping[str, Any]) -> str:
    it = run["machine"]
    packages = ", ".join(f"{name} {version}" for name, version in it["packages"].items())
    noise = run["warning"] or "The run found the machine quiet enough."
    hardware = f"{it['processor']}, {it['cores']} cores, {it['system']}"
    return f"{hardware}; Python {it['python']}, {packages}. {noise}"


def verdicts(run: Mapping[str, Any]) -> str:
    return "\n".join(
        f"- {'✓' if it['holds'] else '✗'} **{it['row']}**: {it['sentence']}"
        for it in run["verdicts"]
    )


def rows(run: Mapping[str, Any]) -> str:
    """The picture and the table of each row of the benchmark."""
    parts = []
    for name, row in run["rows"].items():
        first = next(iter(row["ways"].values()))
        lines = [
            [
                way,
                ms(it["cpu"]),
                f"{it['cpu'] / first['cpu']:.2f}",
                f"{it['per_second']:,.1f}",
                ms(it["p50"]),
                ms(it["p99"]),
                str(it["threads"]),
                str(it["connections"]),
                f"{it['refused']:.0%}",
                ms(it["neighbour_p99"]),
            ]
            for way, it in row["ways"].items()
        ]
        head = [
            "",
            "CPU/request",
            "ratio",
            "requests/s",
            "p50",
            "p99",
            "threads",
            "db",
            "refused",
            "neighbour p99",
        ]
        title, picture = row["title"], f"proof/{name}.svg"
        parts.append(f"### {name}: {title}\n\n![{title}]({picture})\n\n{table(head, lines)}")
    return "\n\n".join(parts)


def trivial(found: Mapping[str, Mapping[str, float]]) -> str:
    def cell(figures: Mapping[str, float], what: str) -> str:
        return f"{figures[what]:.3f} ms" if what in figures else ""

    kinds = ("trivial", "typed", "orm")
    lines = [[name, *(cell(figures, kind) for kind in kinds)] for name, figures in found.items()]
    return table(["CPU per request", "trivial", "typed", "one query"], lines)


def fanout(found: Mapping[str, Any]) -> str:
    lines = []
    for name, clients in found["figures"].items():
        at8, at32 = clients["8"], clients["32"]
        lines.append(
            [
                name,
                ms(at8["cpu"]),
                ms(at8["p50"]),
                ms(at32["cpu"]),
                ms(at32["p50"]),
                f"{at32['failed']:.0%}",
            ]
        )
    return table(
        ["ten upstreams of 50 ms", "CPU, 8 clients", "p50", "CPU, 32 clients", "p50", "failed"],
        lines,
    )


def submit(found: Mapping[str, Any]) -> str:
    lines = [
        [
            name,
            state,
            ms(it["cpu"]) if it["answered"] else "",
            ms(it["p50"]) if it["answered"] else "",
            f"{it['answered']} of {it['asked']}",
            ms(it["froze"]),
        ]
        for name, states in found.items()
        for state, it in states.items()
    ]
    return table(
        [
            "a submitted job",
            "broker",
            "CPU per job",
            "p50",
            "answered",
            "longest wait of a neighbour",
        ],
        lines,
    )


def main() -> None:
    """Renew the page, its pictures, and the handbook's picture."""
    folder = Path(sys.argv[1])
    run, peers = json.loads((folder / "result.json").read_text()), {}
    for name in ("serving", "fanout", "submit"):
        peers[name] = json.loads((folder / f"{name}.json").read_text())
    written = {
        "machine": machine(run),
        "verdicts": verdicts(run),
        "rows": rows(run),
        "trivial": trivial(peers["serving"]),
        "fanout": fanout(peers["fanout"]),
        "submit": submit(peers["submit"]),
    }
    text = PAGE.read_text()
    for name, block in written.items():
        begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
        text = re.sub(
            f"{begin}.*?{end}", lambda _, new=f"{begin}\n{block}\n{end}": new, text, flags=re.DOTALL
        )
    PAGE.write_text(text)
    PICTURES.mkdir(exist_ok=True)
    for name in run["rows"]:
        shutil.copy(folder / f"{name}.svg", PICTURES)
    shutil.copy(folder / "overview.svg", HANDBOOK)
    # The picture as PNG is for slides.
    shutil.copy(folder / "overview.png", PICTURES)
    (PICTURES / "result.json").write_text(json.dumps({"bench": run, **peers}, indent=1) + "\n")


if __name__ == "__main__":
    main()

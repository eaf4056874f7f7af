"""The page about public projects says what the verdicts say."""

import json
from pathlib import Path

import public
import pytest

FINDING = {
    "rule": "OFF103",
    "severity": "error",
    "path": "shop/views.py",
    "line": 5,
    "message": "time.sleep() blocks the event loop",
    "instead": "`await asyncio.sleep(…)`",
    "likely": "",
    "chain": ["shop/views.py:5 view", "shop/helper.py:2 load"],
}


def graded(tmp_path: Path, count: int = 30) -> list[public.Graded]:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "views.py").write_text("\n" * 4 + "    load()\n")
    (tmp_path / "shop" / "helper.py").write_text("def load():\n    time.sleep(1)\n")
    return [
        public.Graded(name, "0123456789abcdef", 2, 1, [FINDING] * count, tmp_path)
        for name in ("first/shop", "second/shop")
    ]


def test_the_page_has_the_table_of_the_verdicts() -> None:
    written = public.PAGE.read_text().partition(public.BEGIN)[2].partition(public.END)[0]
    assert written == public.table(json.loads(public.GRADED.read_text()), public.verdicts())


def test_every_verdict_is_about_a_graded_project_and_has_a_reason() -> None:
    projects = json.loads(public.GRADED.read_text())["projects"]
    assert len(projects) >= 50
    for row in public.verdicts():
        assert projects[row["project"]]["commit"].startswith(row["commit"])
        assert row["verdict"] in ("true", "false")
        assert row["why"] or row["verdict"] == "true"


def test_one_project_gives_only_so_many_findings_to_a_sample(tmp_path: Path) -> None:
    projects = graded(tmp_path)
    assert len(public.draw(projects, "error", 100, seed=1)) == 2 * public.MAX_PER_PROJECT
    assert public.draw(projects, "warning", 100, seed=1) == []


def test_a_seed_draws_the_same_findings_again(tmp_path: Path) -> None:
    projects = graded(tmp_path)
    first, again, other = (
        [each.project for each, _ in public.draw(projects, "error", 12, seed)] for seed in (1, 1, 2)
    )
    assert first == again != other


def test_a_sheet_that_was_read_gives_its_verdicts_back(tmp_path: Path) -> None:
    text = public.sheet(public.draw(graded(tmp_path, count=1), "error", 2, seed=1))
    assert "    load()" in text
    assert "    time.sleep(1)" in text
    with pytest.raises(ValueError, match="has no verdict"):
        list(public.read([text]))

    said = text.replace("- verdict:", "- verdict: false").replace(
        "- why:", "- why: nobody calls it"
    )
    rows = list(public.read([said]))
    assert [row["project"] for row in sorted(rows, key=lambda row: row["project"])] == [
        "first/shop",
        "second/shop",
    ]
    expected = {"path": "shop/views.py", "line": "5", "verdict": "false", "why": "nobody calls it"}
    assert all(expected.items() <= row.items() for row in rows)

"""Every answer to a question, and every pair of answers to two questions.

In `make test` each combination is baked and compiled. `make options` also runs its checks (lint,
format, import contracts, types, migrations), and the tests of those whose Python code differs.
"""

import compileall
import itertools
import json
import os
import re
from pathlib import Path

import pytest

from .conftest import ROOT, SHARED, bake, run

LONG = bool(os.environ.get("OPTIONS_LONG"))
Answers = dict[str, str]
# The questions whose answers change no Python code.
NO_CODE = ("license", "deployment", "ci")


def questions() -> dict[str, list[str]]:
    """The questions with a choice, and their answers."""
    document = json.loads((ROOT / "cookiecutter.json").read_text())
    return {
        name: answers
        for name, answers in document.items()
        if isinstance(answers, list) and not name.startswith("_")
    }


def combinations() -> list[Answers]:
    """Few combinations that contain every pair of answers: the one with most new pairs comes next.

    The first is that of the defaults.
    """
    asked = questions()
    every = [dict(zip(asked, each, strict=True)) for each in itertools.product(*asked.values())]
    wanted = set().union(*map(pairs, every))
    chosen: list[Answers] = []
    while wanted:
        best = max(every, key=lambda answers: len(pairs(answers) & wanted)) if chosen else every[0]
        chosen.append(best)
        wanted -= pairs(best)
    return chosen


def pairs(answers: Answers) -> set[tuple[tuple[str, str], tuple[str, str]]]:
    return set(itertools.combinations(answers.items(), 2))


def name_of(answers: Answers) -> str:
    return ", ".join(f"{name}={answer}" for name, answer in answers.items())


def code_of(answers: Answers) -> Answers:
    """The answers that change Python code."""
    return {name: each for name, each in answers.items() if name not in NO_CODE}


COMBINATIONS = combinations()
# One for each kind of Python code.
TESTED = {name_of(code_of(each)): each for each in reversed(COMBINATIONS)}


def test_the_combinations_have_every_pair_of_answers() -> None:
    asked = questions()
    expected = sum(
        len(one) * len(other) for one, other in itertools.combinations(asked.values(), 2)
    )
    assert len(set().union(*map(pairs, COMBINATIONS))) == expected
    for answers in COMBINATIONS:
        print(name_of(answers))
    print(f"{len(COMBINATIONS)} combinations have all {expected} pairs")


def test_every_question_is_asked_in_words_and_the_readme_counts_them() -> None:
    document = json.loads((ROOT / "cookiecutter.json").read_text())
    asked = [name for name in document if not name.startswith("_")]
    assert list(document["__prompts__"]) == asked, "`__prompts__` of cookiecutter.json"
    for name, answers in questions().items():
        assert list(document["__prompts__"][name]) == ["__prompt__", *answers]
    words = ("eight", "nine", "ten", "eleven", "twelve")
    counted = f"There are {words[len(asked) - 8]} questions"
    assert counted in " ".join((ROOT / "README.md").read_text().split()), "README.md"


@pytest.mark.timeout(900)
@pytest.mark.parametrize("answers", COMBINATIONS, ids=name_of)
def test_a_combination_is_whole(tmp_path: Path, answers: Answers) -> None:
    made = bake(tmp_path, **answers)
    assert made.returncode == 0, made.stdout
    service = tmp_path / "risk_desk"
    assert compileall.compile_dir(service, quiet=2, maxlevels=20)
    assert run("python", "manage.py", "check", cwd=service).returncode == 0
    for file in service.rglob("*"):
        if file.is_file() and file.suffix in (".py", ".toml", ".yml", ".md", ".txt", ".env"):
            left = re.search(r"\{[{%].*cookiecutter", file.read_text())
            assert left is None, f"{file.relative_to(service)} has {left}"
    if LONG:
        checked = run("make", "check", *SHARED, cwd=service)
        assert checked.returncode == 0, checked.stdout


@pytest.mark.skipif(not LONG, reason="the tests of each combination: make options")
@pytest.mark.timeout(900)
@pytest.mark.parametrize("answers", TESTED.values(), ids=list(TESTED))
def test_a_combination_passes_its_own_tests(tmp_path: Path, answers: Answers) -> None:
    assert bake(tmp_path, **answers).returncode == 0
    tested = run("make", "test", *SHARED, cwd=tmp_path / "risk_desk")
    assert tested.returncode == 0, tested.stdout

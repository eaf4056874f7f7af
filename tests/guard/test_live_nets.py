"""Plain tests of mistakes that others made, under the pytest plugin: some of `live_nets.py`."""

import pytest
from live_nets import TESTS, drawn, run
from mistakes import Mistake

# Each is seen by another part of the plugin, and needs no library that this repository does not.
SHORT = (
    "block-number-from-the-cache",
    "pending-commits-of-a-translation",
    "threads-that-query",
    "webhook-inside-the-transaction",
)

pytestmark = pytest.mark.timeout(900)


def test_each_drawn_mistake_has_a_functional_test() -> None:
    names = {mistake.name.replace("-", "_") for mistake in drawn()}
    assert {path.stem for path in TESTS.glob("*.py")} == names


@pytest.mark.parametrize(
    "mistake",
    [mistake for mistake in drawn() if mistake.name in SHORT],
    ids=lambda mistake: mistake.name,
)
def test_the_plugin_fails_the_test_of_the_mistake_and_not_of_its_mend(mistake: Mistake) -> None:
    assert run(mistake, "wrong", "plugin") == "fails"
    assert run(mistake, "right", "plugin") == "passes"

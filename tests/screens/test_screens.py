"""Golden tests: the screen of each scenario is compared with its file in ``golden/``."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest
from screens.harness import harness
from screens.scenarios import SCENARIOS

pytestmark = pytest.mark.slow

GOLDEN = Path(__file__).parent / "golden"
ACCEPT = "python -m pytest tests/screens --accept-screens"


@pytest.mark.parametrize("name", SCENARIOS)
def test_screen_matches_golden_file(name: str, accept_screens: bool) -> None:
    scenario = SCENARIOS[name]
    with harness() as one:
        actual = scenario(one).page(name, inspect.getdoc(scenario) or "")
    file = GOLDEN / f"{name}.txt"
    expected = file.read_text(encoding="utf-8") if file.exists() else ""
    if accept_screens and actual != expected:
        file.write_text(actual, encoding="utf-8")
        pytest.fail(f"{file.name} is rewritten: look at it, and run again without --accept-screens")
    assert actual == expected, f"to accept the new screen: {ACCEPT}"


def test_every_golden_file_has_a_documented_scenario(accept_screens: bool) -> None:
    if accept_screens:
        for orphan in {file.stem for file in GOLDEN.iterdir()} - set(SCENARIOS):
            (GOLDEN / f"{orphan}.txt").unlink()
    assert sorted(path.name for path in GOLDEN.iterdir()) == sorted(f"{name}.txt" for name in SCENARIOS)
    assert [name for name, scenario in SCENARIOS.items() if not scenario.__doc__] == []

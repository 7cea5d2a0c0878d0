"""The score sheet: each moment is played, and what is seen is compared with what a person has judged."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest
from moments.moments import MOMENTS
from moments.stage import stage

pytestmark = pytest.mark.slow

SCREENS = Path(__file__).parent / "screens"
ACCEPT = "python -m pytest tests/moments --accept-screens"


@pytest.mark.parametrize("name", MOMENTS)
def test_a_moment_is_seen_as_it_was_judged(name: str, accepting: bool) -> None:
    played = MOMENTS[name]
    with stage() as one:
        seen = played(one).page(name, inspect.getdoc(played) or "")
    file = SCREENS / f"{name}.txt"
    judged = file.read_text(encoding="utf-8") if file.exists() else ""
    if accepting and seen != judged:
        file.write_text(seen, encoding="utf-8")
        pytest.fail(f"{file.name} is rewritten: look at it, and run again without --accept-screens")
    assert seen == judged, f"to take this as the better one: {ACCEPT}"


def test_each_golden_file_belongs_to_a_moment_that_says_what_must_be_seen(accepting: bool) -> None:
    if accepting:
        for orphan in {file.stem for file in SCREENS.iterdir()} - set(MOMENTS):
            (SCREENS / f"{orphan}.txt").unlink()
    assert sorted(path.name for path in SCREENS.iterdir()) == sorted(f"{name}.txt" for name in MOMENTS)
    assert [name for name, played in MOMENTS.items() if not played.__doc__] == []

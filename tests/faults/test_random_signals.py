"""Signals at random lines of the program: nothing is lost, left over or paid twice."""

from __future__ import annotations

import random
import signal
import sys
from collections.abc import Callable

import pytest
from faults import system_faults as system
from faults.scenario import Scenario

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="limits of another process, and capabilities"),
]

#: Random lines of the whole run.
DRAWS = 8
#: Last lines of the run, where results are printed, and additional random lines among them.
FINAL_LINES = 80
FINAL_DRAWS = 4
#: Exits of context managers after the signal handlers are installed, and random ones among them. A signal
#: there could prevent the release of a resource.
EXITS = range(30, 150)
EXIT_DRAWS = 6
CONTEXT_EXIT = "contextlib:_GeneratorContextManager.__exit__"
SEED = random.SystemRandom().randrange(10**6)


def test_signal_at_random_line_leaves_resumable_state(start_scenario: Callable[[], Scenario]) -> None:
    lines = _count_lines(start_scenario)
    print(f"seed {SEED}, {lines} lines")
    draw = random.Random(SEED)
    # Signal handlers are not installed yet at the first line.
    targets = [draw.randint(2, lines) for _ in range(DRAWS)]
    targets += [draw.randint(lines - FINAL_LINES, lines) for _ in range(FINAL_DRAWS)]
    points = [("line", target) for target in targets]
    points += [(CONTEXT_EXIT, draw.choice(EXITS)) for _ in range(EXIT_DRAWS)]
    for turn, at in enumerate(points):
        number = (signal.SIGINT, signal.SIGTERM)[turn % 2]
        scenario = start_scenario()
        stopped = scenario.generate(at=at, action=system.send_signal(number.name))
        what = f"seed {SEED}, {number.name} at {at} of {lines} lines: {stopped.exit_code} {stopped.stderr}"
        # 0: the run had finished. A negative code: SIGTERM came before the handler was installed.
        assert stopped.exit_code in (0, 128 + number, *([-number] if number != signal.SIGINT else [])), what
        assert "Traceback" not in stopped.stderr, what
        assert scenario.parts() == [], what
        if stopped.exit_code > 0 and scenario.service.tasks and not scenario.images():
            assert scenario.follow(stopped).exit_code == 0, what
            assert len(scenario.images()) == 1, what
        scenario.run("download", "--pending", "-q")
        scenario.run("generate", "--resume", "last", "-q")
        assert set(scenario.rows()) <= {"saved"}, what
        assert len(scenario.service.tasks) == len(scenario.images()) == len(scenario.rows()), what
        assert scenario.run("generate", "--resume", "last", "-q").exit_code == 2, what


@pytest.mark.parametrize(
    ("arguments", "lines"),
    [(["--version"], 8), (["completion", "--list", "tasks"], 13), (["generate", "a fox", "--dry-run"], 13)],
    ids=["--version", "completion", "generate"],
)
def test_sigint_during_startup_prints_nothing(
    start_scenario: Callable[[], Scenario], arguments: list[str], lines: int
) -> None:
    for line in range(2, lines + 1):
        stopped = start_scenario().run(*arguments, at=("line", line), action=system.send_signal("SIGINT"))
        assert (stopped.exit_code, stopped.stderr) == (130, ""), line


def _count_lines(start_scenario: Callable[[], Scenario]) -> int:
    """Return the approximate number of lines that a run executes, found by bisection."""
    low, high = 0, 1 << 15
    while high - low > 20:
        middle = (low + high) // 2
        reached = []
        start_scenario().generate(at=("line", middle), action=lambda scenario: reached.append(True))  # noqa: B023
        low, high = (middle, high) if reached else (low, middle)
    return low

"""A signal at a line drawn at random: nothing is lost, left behind or paid twice."""

from __future__ import annotations

import random
import signal
import sys
from collections.abc import Callable

import pytest
from faults import acts
from faults.scene import Scene

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="limits of another process, and capabilities"),
]

DRAWS = 8
#: Lines at the end, where all that is left is to say what was done: a few more draws are from there.
END, DRAWS_OF_THE_END = 80, 4
#: Ends of blocks that are entered once the program minds signals, where a signal can keep what they hold.
ENDS, DRAWS_OF_ENDS = range(30, 150), 6
A_BLOCK_S_END = "contextlib:_GeneratorContextManager.__exit__"
SEED = random.SystemRandom().randrange(10**6)


def test_leaves_one_command_to_the_image(start_scene: Callable[[], Scene]) -> None:
    lines = _lines_of(start_scene)
    print(f"seed {SEED}, {lines} lines")
    draw = random.Random(SEED)
    # The program's first line has no guard around it yet.
    targets = [draw.randint(2, lines) for _ in range(DRAWS)]
    targets += [draw.randint(lines - END, lines) for _ in range(DRAWS_OF_THE_END)]
    points = [("line", target) for target in targets]
    points += [(A_BLOCK_S_END, draw.choice(ENDS)) for _ in range(DRAWS_OF_ENDS)]
    for turn, at in enumerate(points):
        number = (signal.SIGINT, signal.SIGTERM)[turn % 2]
        scene = start_scene()
        stopped = scene.generate(at=at, act=acts.signalled(number.name))
        what = f"seed {SEED}, {number.name} at {at} of {lines} lines: {stopped.exit_code} {stopped.stderr}"
        # 0: it had finished all the same. SIGTERM ends what Python itself does as the system has it.
        assert stopped.exit_code in (0, 128 + number, *([-number] if number != signal.SIGINT else [])), what
        assert "Traceback" not in stopped.stderr, what
        assert scene.parts() == [], what
        if stopped.exit_code > 0 and scene.service.tasks and not scene.images():
            assert scene.follow(stopped).exit_code == 0, what
            assert len(scene.images()) == 1, what
        scene.run("download", "--pending", "-q")
        scene.run("generate", "--resume", "last", "-q")
        assert set(scene.rows()) <= {"saved"}, what
        assert len(scene.service.tasks) == len(scene.images()) == len(scene.rows()), what
        assert scene.run("generate", "--resume", "last", "-q").exit_code == 2, what


@pytest.mark.parametrize(
    ("arguments", "lines"),
    [(["--version"], 8), (["completion", "--list", "tasks"], 13), (["generate", "a fox", "--dry-run"], 13)],
    ids=["--version", "completion", "generate"],
)
def test_ctrl_c_is_quiet_from_the_first_guarded_line_on(
    start_scene: Callable[[], Scene], arguments: list[str], lines: int
) -> None:
    for line in range(2, lines + 1):
        stopped = start_scene().run(*arguments, at=("line", line), act=acts.signalled("SIGINT"))
        assert (stopped.exit_code, stopped.stderr) == (130, ""), line


def _lines_of(start_scene: Callable[[], Scene]) -> int:
    """How many lines a run executes, about: it differs by what is drawn and waited for."""
    least, most = 0, 1 << 15
    while most - least > 20:
        middle = (least + most) // 2
        reached = []
        start_scene().generate(at=("line", middle), act=lambda scene: reached.append(True))  # noqa: B023
        least, most = (middle, most) if reached else (least, middle)
    return least

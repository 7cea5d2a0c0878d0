"""Runs in which faults are drawn at random: whatever happens, two commands bring every paid image home."""

from __future__ import annotations

import os
import random
import sys
from collections import Counter
from collections.abc import Callable

import pytest
from faults import acts
from faults.scene import (
    ANSWER_UNRECORDED,
    FILE_UNRECORDED,
    INTENT_RECORDED,
    RESULT_RECEIVED,
    START,
    Act,
    Scene,
)
from support import network_faults as line
from support.service import IMAGE, POLL, SUBMIT, Fault, Strike

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="limits of another process, and capabilities"),
]

#: Runs in all; those of one test use one home.
TESTS, HOMES = 5, 10
#: Functions of the program that one run enters, about.
CALLS = 2000
#: The same in every process that runs tests at the same time; a failure is repeated by setting it.
SEED = (
    os.environ.get("SEEDREAM_TESTS_SEED") or os.environ.get("PYTEST_XDIST_TESTRUNUID") or os.urandom(8).hex()
)

_ANYWHERE: list[Fault] = [
    *(line.reset, line.reset_before, line.drop, line.truncated, line.reset_midway, line.chunks_cut),
    *(line.cut, line.html, line.invalid_json, line.empty, line.in_progress),
    *(line.rate_limited(value) for value in (None, "3", line.in_a_while, "999999")),
    *(line.refused(status, done=True) for status in (408, 500, 502, 503, 504)),
    *(line.refused(status, code) for status, code in ((401, "invalid_api_key"), (403, "permission_denied"))),
    line.refused(402, "insufficient_quota"),
    line.redirected("https://elsewhere.invalid/"),
]
#: A create that was done is never answered like this by any service.
_NOT_AT_CREATE: list[Fault] = [line.refused(404, "not_found"), line.refused(410, "gone")]

_ACTS: list[Act] = [
    *(acts.signalled(name) for name in ("SIGINT", "SIGTERM", "SIGKILL", "SIGKILL")),
    *(acts.disk_full, acts.no_more_files, acts.folder_becomes_read_only),
    *(acts.history_is_locked, acts.clock_set_back, acts.server_down),
]
_POINTS = (START, INTENT_RECORDED, ANSWER_UNRECORDED, RESULT_RECEIVED, FILE_UNRECORDED)


@pytest.mark.parametrize("number", range(TESTS))
def test_every_paid_image_is_on_disk_exactly_once(number: int, start_scene: Callable[[], Scene]) -> None:
    print(f"seed {SEED}")
    draw = random.Random(f"{SEED} {number}")
    for _ in range(HOMES):
        scene = start_scene()
        scene.patience = 0.5
        said = [_run_with_faults(scene, draw, name) for name in ("one", "two")[: draw.randint(1, 2)]]
        what = f"seed {SEED}, number {number}: " + "\n".join(said)
        _until_quiet(scene, what)
        # What was refused, or was stopped before the history had it, was never asked for.
        rows = Counter(scene.rows())
        assert rows.keys() <= {"saved", "refused"}, what
        assert rows["saved"] == len(scene.service.tasks), what
        bodies = {create.headers["idempotency-key"]: create.body for create in scene.service.creates}
        assert all(
            bodies[create.headers["idempotency-key"]] == create.body for create in scene.service.creates
        )
        images = Counter(path.read_bytes() for path in scene.images())
        assert images == Counter(task.image for task in scene.service.tasks), what
        assert scene.parts() == [], what


def _run_with_faults(scene: Scene, draw: random.Random, name: str) -> str:
    """Generate one image, with what may go wrong; what it said."""
    scene.service.strikes.clear()
    scene.service.counts.clear()
    for stage in (SUBMIT, POLL, IMAGE):
        for _ in range(draw.choice((0, 0, 1, 2))):
            fault = draw.choice(_ANYWHERE if stage == SUBMIT else _ANYWHERE + _NOT_AT_CREATE)
            times = draw.choice((1, 1, 2, 3, None))
            scene.service.strikes.append(Strike(stage, fault, draw.randint(1, 3), times))
    act = draw.choice(_ACTS)
    point = None
    if draw.random() < 0.5:
        # Mostly somewhere, and sometimes where it hurts most.
        point = draw.choice((*_POINTS, *[("call", draw.randint(1, CALLS))] * len(_POINTS)))
    elif draw.random() < 0.5:
        stage = draw.choice((SUBMIT, POLL, IMAGE))
        answer = acts.at_the_server(scene, act, midway=stage == IMAGE)
        scene.service.strikes.insert(0, Strike(stage, answer, draw.randint(1, 2), 1))
    options = draw.choice(([], ["--no-wait"], ["--json"], ["-q"]))
    output = draw.choice((f"out/{name}.png", "out/", "out/{slug}-{date}.{ext}"))
    command = ["generate", f"a fox, {name}", "-o", output, *options]
    result = scene.run(*command, at=point, act=act)
    assert "Traceback" not in result.stderr, result.stderr
    scene.repair()
    return f"{' '.join(command)}: {result.exit_code} {result.stderr}"


def _until_quiet(scene: Scene, what: str) -> None:
    for _ in range(6):
        pending = scene.run("download", "--pending", "-q")
        resumed = scene.run("generate", "--resume", "last", "-q")
        if (pending.exit_code, pending.stdout, resumed.exit_code) == (0, "", 2):
            return
    pytest.fail(f"never quiet: {what}\n{pending.stderr}\n{resumed.stderr}")

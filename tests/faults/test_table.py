"""Every row of the table, and after it the way back to the image."""

from __future__ import annotations

import json
import sys

import pytest
from faults.scene import Scene
from faults.table import SOURCE, Row, rows
from support.images import png
from support.program import Result

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="limits of another process, and capabilities"),
]

ROWS = list(rows())


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_what_a_fault_leads_to(scene: Scene, row: Row) -> None:
    row.prepare(scene)
    source = scene.program.cwd / SOURCE
    source.write_bytes(png(4, 3))
    if "hang" in row.fault or "locked" in row.fault:
        scene.patience = 0.25
    result = scene.generate(*row.options, at=row.at, act=row.act)
    assert scene.truth(result) == row.truth, result.stderr
    _assert_told_in_short(result)
    _assert_within_the_budgets(scene)
    if row.truth.exit_code == 9 and row.fault.startswith(("disk", "folder")) and row.truth.tasks:
        assert f"cannot write in {scene.folder}: " in result.stderr
    if row.fault != "folder becomes read-only":
        # There, not even the program itself can remove what it has begun.
        assert scene.parts() == [] or "SIGKILL" in row.fault

    scene.repair()
    # Whatever is sent again is the same, also where this is not.
    source.unlink()
    scene.patience = 5.0
    _recover(scene, result)
    assert len(scene.service.tasks) == 1
    assert len({(create.headers["idempotency-key"], create.body) for create in scene.service.creates}) <= (
        # What was refused is asked for anew, by a person.
        1 if row.truth.tasks or row.truth.history == "unanswered" else 2
    )
    assert len(scene.images()) == 1
    assert scene.parts() == []
    assert set(scene.rows()) <= {"saved", "refused"}
    assert list(scene.program.cwd.parent.rglob("bodies/*")) == []
    if "--sidecar" in row.options and row.truth.history != "refused":
        [described] = {*scene.program.cwd.rglob("*.png.json")}
        assert json.loads(described.read_text())["file"] == scene.images()[0].name


def _recover(scene: Scene, result: Result) -> None:
    """Do what the message says, or what anybody would do who got none."""
    if "--resume" in result.stderr or "seedream download" in result.stderr:
        assert scene.follow(result).exit_code == 0
        # The one command that the message ends with is enough.
        assert len(scene.images()) == 1
    elif not scene.service.tasks and "unanswered" not in scene.rows():
        if "  mv " in result.stderr:
            scene.follow(result)
        assert scene.generate().exit_code == 0
    # The image may be there without the history's knowing, or a killed program has said nothing.
    for command in ("download --pending -q", "generate --resume last -q"):
        if not set(scene.rows()) <= {"saved", "refused"}:
            scene.run(*command.split())
    if not scene.images():
        assert scene.run("download", "task_1", "-q").exit_code == 0


def _assert_told_in_short(result: Result) -> None:
    """An error is at most three lines, and no traceback."""
    lines = result.stderr.splitlines()
    assert not any("Traceback" in line for line in lines)
    errors = [number for number, line in enumerate(lines) if line.startswith("error: ")]
    assert len(errors) == (1 if result.exit_code > 0 and lines else 0)
    if errors:
        assert len(lines) - errors[0] <= 3


def _assert_within_the_budgets(scene: Scene) -> None:
    assert scene.service.counts["submit"] <= 5
    # Six hops are one attempt.
    assert scene.service.counts["image"] <= 6

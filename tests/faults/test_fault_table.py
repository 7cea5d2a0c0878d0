"""Each row of the fault table: the expected outcome, and the recovery of the image after it."""

from __future__ import annotations

import json
import sys

import pytest
from faults.fault_table import SOURCE, Row, rows
from faults.scenario import Scenario
from support.images import png
from support.program import Result

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="limits of another process, and capabilities"),
]

ROWS = list(rows())


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_fault_has_expected_outcome_and_can_be_recovered_from(scenario: Scenario, row: Row) -> None:
    row.prepare(scenario)
    source = scenario.program.cwd / SOURCE
    source.write_bytes(png(4, 3))
    if "hang" in row.fault or "locked" in row.fault:
        scenario.patience = 0.25
    result = scenario.generate(*row.options, at=row.at, action=row.action)
    assert scenario.outcome(result) == row.expected, result.stderr
    _assert_error_is_short(result)
    _assert_requests_are_limited(scenario)
    if row.expected.exit_code == 9 and row.fault.startswith(("disk", "folder")) and row.expected.tasks:
        assert f"cannot write in {scenario.folder}: " in result.stderr
    if row.fault != "folder becomes read-only":
        # In a read-only folder the program cannot remove its temporary file either.
        assert scenario.parts() == [] or "SIGKILL" in row.fault

    scenario.repair()
    # A repeated request must not depend on the source file, whose content is kept.
    source.unlink()
    scenario.patience = 5.0
    _recover(scenario, result)
    assert len(scenario.service.tasks) == 1
    assert len({(create.headers["idempotency-key"], create.body) for create in scenario.service.creates}) <= (
        # After a refusal, the recovery is a new request.
        1 if row.expected.tasks or row.expected.history == "unanswered" else 2
    )
    assert len(scenario.images()) == 1
    assert scenario.parts() == []
    assert set(scenario.rows()) <= {"saved", "refused"}
    assert list(scenario.program.cwd.parent.rglob("bodies/*")) == []
    if "--sidecar" in row.options and row.expected.history != "refused":
        [sidecar] = {*scenario.program.cwd.rglob("*.png.json")}
        assert json.loads(sidecar.read_text())["file"] == scenario.images()[0].name


def _recover(scenario: Scenario, result: Result) -> None:
    """Run the suggested command, or the obvious one if there is no message."""
    if "--resume" in result.stderr or "seedream download" in result.stderr:
        assert scenario.follow(result).exit_code == 0
        # The suggested command alone must be enough.
        assert len(scenario.images()) == 1
    elif not scenario.service.tasks and "unanswered" not in scenario.rows():
        if "  mv " in result.stderr:
            scenario.follow(result)
        assert scenario.generate().exit_code == 0
    # The image may be saved but not recorded, or a killed program has printed nothing.
    for command in ("download --pending -q", "generate --resume last -q"):
        if not set(scenario.rows()) <= {"saved", "refused"}:
            scenario.run(*command.split())
    if not scenario.images():
        assert scenario.run("download", "task_1", "-q").exit_code == 0


def _assert_error_is_short(result: Result) -> None:
    """Check that an error has at most three lines, and no traceback."""
    lines = result.stderr.splitlines()
    assert not any("Traceback" in line for line in lines)
    errors = [number for number, line in enumerate(lines) if line.startswith("error: ")]
    assert len(errors) == (1 if result.exit_code > 0 and lines else 0)
    if errors:
        assert len(lines) - errors[0] <= 3


def _assert_requests_are_limited(scenario: Scenario) -> None:
    """Check the number of requests of the run."""
    assert scenario.service.counts["submit"] <= 5
    # One attempt has up to six hops.
    assert scenario.service.counts["image"] <= 6

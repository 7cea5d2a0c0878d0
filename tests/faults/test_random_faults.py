"""Runs with random faults, after which two commands must recover every paid image."""

from __future__ import annotations

import os
import random
import sys
from collections import Counter
from collections.abc import Callable

import pytest
from faults import system_faults as system
from faults.scenario import (
    FILE_UNRECORDED,
    INTENT_RECORDED,
    RESPONSE_UNRECORDED,
    RESULT_RECEIVED,
    START,
    Action,
    Scenario,
)
from support import network_faults as network
from support.service import IMAGE, POLL, SUBMIT, Fault, FaultRule

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="limits of another process, and capabilities"),
]

TESTS = 5
#: Homes of each test, with one or two runs each.
HOMES = 10
#: Approximate number of function calls of one run.
CALLS = 2000
#: The same in all processes of pytest-xdist. Set SEEDREAM_TESTS_SEED to repeat a failure.
SEED = (
    os.environ.get("SEEDREAM_TESTS_SEED") or os.environ.get("PYTEST_XDIST_TESTRUNUID") or os.urandom(8).hex()
)

_ANY_STAGE: list[Fault] = [
    *(
        network.reset,
        network.reset_before,
        network.drop,
        network.truncated,
        network.reset_midway,
        network.chunks_cut,
    ),
    *(network.cut, network.html, network.invalid_json, network.empty, network.in_progress),
    *(network.rate_limited(value) for value in (None, "3", network.in_a_while, "999999")),
    *(network.refused(status, done=True) for status in (408, 500, 502, 503, 504)),
    *(
        network.refused(status, code)
        for status, code in ((401, "invalid_api_key"), (403, "permission_denied"))
    ),
    network.refused(402, "insufficient_quota"),
    network.redirected("https://elsewhere.invalid/"),
]
#: No service answers a create request that succeeded with these.
_NOT_AT_SUBMIT: list[Fault] = [network.refused(404, "not_found"), network.refused(410, "gone")]

_ACTIONS: list[Action] = [
    *(system.send_signal(name) for name in ("SIGINT", "SIGTERM", "SIGKILL", "SIGKILL")),
    *(system.disk_full, system.no_more_files, system.folder_becomes_read_only),
    *(system.history_is_locked, system.clock_set_back, system.server_down),
]
_POINTS = (START, INTENT_RECORDED, RESPONSE_UNRECORDED, RESULT_RECEIVED, FILE_UNRECORDED)


@pytest.mark.parametrize("number", range(TESTS))
def test_random_faults_leave_every_paid_image_on_disk_once(
    number: int, start_scenario: Callable[[], Scenario]
) -> None:
    print(f"seed {SEED}")
    draw = random.Random(f"{SEED} {number}")
    for _ in range(HOMES):
        scenario = start_scenario()
        scenario.patience = 0.5
        logs = [_run_with_faults(scenario, draw, name) for name in ("one", "two")[: draw.randint(1, 2)]]
        context = f"seed {SEED}, number {number}: " + "\n".join(logs)
        _recover_all(scenario, context)
        # A refused request, or one that was stopped before it was recorded, was not paid for.
        rows = Counter(scenario.rows())
        assert rows.keys() <= {"saved", "refused"}, context
        assert rows["saved"] == len(scenario.service.tasks), context
        bodies = {create.headers["idempotency-key"]: create.body for create in scenario.service.creates}
        assert all(
            bodies[create.headers["idempotency-key"]] == create.body for create in scenario.service.creates
        )
        images = Counter(path.read_bytes() for path in scenario.images())
        assert images == Counter(task.image for task in scenario.service.tasks), context
        assert scenario.parts() == [], context


def _run_with_faults(scenario: Scenario, draw: random.Random, name: str) -> str:
    """Generate one image with random faults. Return the command, its exit code and its stderr."""
    scenario.service.fault_rules.clear()
    scenario.service.counts.clear()
    for stage in (SUBMIT, POLL, IMAGE):
        for _ in range(draw.choice((0, 0, 1, 2))):
            fault = draw.choice(_ANY_STAGE if stage == SUBMIT else _ANY_STAGE + _NOT_AT_SUBMIT)
            times = draw.choice((1, 1, 2, 3, None))
            scenario.inject(stage, fault, draw.randint(1, 3), times)
    action = draw.choice(_ACTIONS)
    point = None
    if draw.random() < 0.5:
        # Half of the points are random calls, half the critical ones.
        point = draw.choice((*_POINTS, *[("call", draw.randint(1, CALLS))] * len(_POINTS)))
    elif draw.random() < 0.5:
        stage = draw.choice((SUBMIT, POLL, IMAGE))
        fault = system.during_response(scenario, action, midway=stage == IMAGE)
        scenario.service.fault_rules.insert(0, FaultRule(stage, fault, draw.randint(1, 2), 1))
    options = draw.choice(([], ["--no-wait"], ["--json"], ["-q"]))
    output = draw.choice((f"out/{name}.png", "out/", "out/{slug}-{date}.{ext}"))
    command = ["generate", f"a fox, {name}", "-o", output, *options]
    result = scenario.run(*command, at=point, action=action)
    assert "Traceback" not in result.stderr, result.stderr
    scenario.repair()
    return f"{' '.join(command)}: {result.exit_code} {result.stderr}"


def _recover_all(scenario: Scenario, context: str) -> None:
    for _ in range(6):
        pending = scenario.run("download", "--pending", "-q")
        resumed = scenario.run("generate", "--resume", "last", "-q")
        if (pending.exit_code, pending.stdout, resumed.exit_code) == (0, "", 2):
            return
    pytest.fail(f"images remain: {context}\n{pending.stderr}\n{resumed.stderr}")

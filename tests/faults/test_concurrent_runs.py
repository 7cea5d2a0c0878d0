"""Concurrent runs of the program for the same task or file."""

from __future__ import annotations

import signal
import sys
import threading

import pytest
from faults import system_faults as system
from faults.scenario import Scenario
from support.raw import Exchange
from support.service import IMAGE, POLLS, SUBMIT, Honest, Service

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="limits of another process, and capabilities"),
]


def test_concurrent_generate_with_same_output_keeps_both_images(scenario: Scenario) -> None:
    both_requested = threading.Barrier(2, timeout=20)

    def together(service: Service, exchange: Exchange, honest: Honest) -> None:
        both_requested.wait()
        exchange.connection.sendall(honest())

    scenario.inject(IMAGE, together, times=2)
    programs = [scenario.start("generate", f"fox {name}", "-o", "out/fox.png") for name in ("one", "two")]
    results = [program.result() for program in programs]
    assert [result.exit_code for result in results] == [0, 0]
    assert sorted(result.stdout for result in results) == ["out/fox-2.png\n", "out/fox.png\n"]
    assert len(scenario.service.tasks) == len(scenario.images()) == 2
    assert "fox.png is taken: the image is saved as fox-2.png" in "".join(result.stderr for result in results)
    assert scenario.rows() == ["saved", "saved"]
    assert scenario.parts() == []


@pytest.mark.parametrize("stage", [SUBMIT, IMAGE])
def test_concurrent_resume_pays_and_saves_once(scenario: Scenario, stage: str) -> None:
    killed = system.during_response(scenario, system.send_signal("SIGKILL"), midway=stage == IMAGE)
    scenario.inject(stage, killed, times=1)
    assert scenario.generate().exit_code == -signal.SIGKILL
    name = scenario.operation_id()
    programs = [scenario.start("generate", "--resume", name) for _ in range(3)]
    results = [program.result() for program in programs]
    # A program that finds another one saving the image exits with 9.
    assert {result.exit_code for result in results} <= {0, 9}
    assert 0 in [result.exit_code for result in results]
    assert all("another program" in result.stderr for result in results if result.exit_code == 9)
    assert len(scenario.service.tasks) == len(scenario.images()) == 1
    assert scenario.rows() == ["saved"]
    assert scenario.parts() == []


def test_concurrent_download_reports_other_program_and_fetches_nothing(scenario: Scenario) -> None:
    results = []

    def download_again(scenario: Scenario) -> None:
        results.append(scenario.run("download", "--pending"))

    scenario.inject(IMAGE, system.during_response(scenario, download_again, midway=True), times=1)
    assert scenario.generate().exit_code == 0
    assert results[0].exit_code == 9
    assert "another program is saving this image" in results[0].stderr
    assert scenario.service.counts["image"] == 1
    assert scenario.service.tasks[0].polls == POLLS + 1
    assert scenario.rows() == ["saved"]

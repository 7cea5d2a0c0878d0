"""State that a killed run leaves, and how later runs resume it."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest
from faults import system_faults as system
from faults.scenario import START, Scenario
from support import network_faults as network
from support.service import IMAGE, POLL, SUBMIT

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="limits of another process, and capabilities"),
]

DAY = 86400.0


def kill(scenario: Scenario, stage: str) -> None:
    fault = system.during_response(scenario, system.send_signal("SIGKILL"), midway=stage == IMAGE)
    scenario.inject(stage, fault, times=1)
    assert scenario.generate().exit_code == -signal.SIGKILL
    scenario.repair()


def test_download_removes_only_its_own_temporary_files(scenario: Scenario) -> None:
    kill(scenario, IMAGE)
    (abandoned,) = scenario.parts()
    assert scenario.operation_id() in abandoned.name
    other_files = [scenario.folder / name for name in (".seedream-op_00000000-1.part", ".fox.png.part")]
    for file in other_files:
        file.write_bytes(b"of another program")
    assert scenario.run("download", "--pending").exit_code == 0
    assert scenario.parts() == sorted(other_files)
    assert all(file.read_bytes() == b"of another program" for file in other_files)
    assert len(scenario.images()) == 1


def test_download_does_not_follow_link_at_temporary_name(scenario: Scenario) -> None:
    kill(scenario, IMAGE)
    (abandoned,) = scenario.parts()
    abandoned.unlink()
    victim = scenario.program.cwd / "victim"
    victim.write_bytes(b"do not touch")
    abandoned.symlink_to(victim)
    assert scenario.run("download", "--pending").exit_code == 0
    assert victim.read_bytes() == b"do not touch"
    assert scenario.parts() == []


class TestResumeUnanswered:
    """The idempotency key is valid for 7 days, less an hour for clocks that differ."""

    @pytest.mark.parametrize("days", [-0.002, 0.0, 6.9])
    def test_resends_with_same_key(self, scenario: Scenario, days: float) -> None:
        kill(scenario, SUBMIT)
        assert scenario.run("generate", "--resume", "last", clock=days * DAY).exit_code == 0
        assert len(scenario.service.tasks) == 1
        assert len({create.headers["idempotency-key"] for create in scenario.service.creates}) == 1

    def test_stays_unanswered_after_refusal(self, scenario: Scenario) -> None:
        kill(scenario, SUBMIT)
        scenario.inject(SUBMIT, network.refused(402, "insufficient_quota"))
        assert scenario.run("generate", "--resume", "last").exit_code == 5
        assert scenario.rows() == ["unanswered"]
        scenario.repair()
        assert scenario.run("generate", "--resume", "last").exit_code == 0
        assert len(scenario.service.tasks) == len(scenario.images()) == 1

    @pytest.mark.parametrize("days", [-1.0, 7.0, 400.0])
    def test_expired_key_needs_new_key(self, scenario: Scenario, days: float) -> None:
        kill(scenario, SUBMIT)
        refused = scenario.run("generate", "--resume", scenario.operation_id(), clock=days * DAY)
        assert refused.exit_code == 2
        assert "is not from the last 7 days" in refused.stderr
        assert "could pay again" in refused.stderr
        assert scenario.service.counts["submit"] == 1
        words = refused.stderr.splitlines()[-1].split()
        assert (words[0], words[-1]) == ("seedream", "--new-key")
        again = scenario.run(*words[1:], clock=days * DAY)
        assert again.exit_code == 0, again.stderr
        assert len(scenario.service.tasks) == 2
        assert len(scenario.images()) == 1


@pytest.mark.parametrize("days", [-400.0, 6.0])
def test_download_does_not_depend_on_clock(scenario: Scenario, days: float) -> None:
    kill(scenario, POLL)
    assert scenario.run("download", "--pending", clock=days * DAY).exit_code == 0
    assert len(scenario.service.tasks) == len(scenario.images()) == 1


def test_unrecorded_task_is_saved_at_its_output_path(
    scenario: Scenario,
) -> None:
    scenario.inject(SUBMIT, system.during_response(scenario, system.disk_full), times=1)
    result = scenario.generate()
    assert result.exit_code == 9
    scenario.repair()
    assert scenario.follow(result).exit_code == 0
    assert [path.relative_to(scenario.program.cwd).as_posix() for path in scenario.images()] == [
        "out/fox.png"
    ]
    assert scenario.run("generate", "--resume", "last").exit_code == 0
    assert len(scenario.service.tasks) == len(scenario.images()) == 1
    assert scenario.run("generate", "--resume", "last").exit_code == 2


def test_corrupt_history_is_moved_aside_by_suggested_command(
    scenario: Scenario,
) -> None:
    broken = []

    def corrupt(scenario: Scenario) -> None:
        system.history_is_corrupt(scenario)
        broken.append(scenario.history.read_bytes())

    result = scenario.generate(at=START, action=corrupt)
    assert result.exit_code == 9
    assert scenario.service.counts.total() == 0
    assert scenario.history.read_bytes() == broken[0]
    scenario.follow(result)
    assert not scenario.history.exists()
    assert Path(f"{scenario.history}.broken").read_bytes() == broken[0]
    assert scenario.generate().exit_code == 0


def test_download_retry_of_two_tasks_with_one_output_keeps_both(scenario: Scenario) -> None:
    for prompt in ("one", "two"):
        assert scenario.run("generate", prompt, "--no-wait").exit_code == 0
    scenario.inject(IMAGE, network.refused(404, "gone"), first=2)
    failed = scenario.run("download", "task_1", "task_2", "-o", "out/fox.png")
    assert failed.exit_code == 9
    assert "  seedream download task_2\n" in failed.stderr
    scenario.repair()
    assert scenario.run("download", "task_2").exit_code == 0
    assert [path.name for path in scenario.images()] == ["fox-2.png", "fox.png"]


def test_unrecorded_task_is_saved_despite_taken_output_path(scenario: Scenario) -> None:
    scenario.inject(SUBMIT, system.during_response(scenario, system.disk_full), times=1)

    def taken(scenario: Scenario) -> None:
        (scenario.folder / "fox.png").write_bytes(b"another file")

    result = scenario.generate(at=("seedream_cli.tasks.download:save_results", 1), action=taken)
    assert result.exit_code == 9
    scenario.repair()
    assert scenario.follow(result).exit_code == 0
    assert len(scenario.images()) == 1
    assert (scenario.folder / "fox.png").read_bytes() == b"another file"

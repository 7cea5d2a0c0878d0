"""What a program that was killed leaves behind, and how long it is good for."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest
from faults import acts
from faults.scene import START, Scene
from support import network_faults as line
from support.program import Result
from support.service import IMAGE, POLL, SUBMIT, Strike

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="limits of another process, and capabilities"),
]

DAY = 86400.0


def kill(scene: Scene, stage: str) -> None:
    answer = acts.at_the_server(scene, acts.signalled("SIGKILL"), midway=stage == IMAGE)
    scene.service.strikes.append(Strike(stage, answer, times=1))
    assert scene.generate().exit_code == -signal.SIGKILL
    scene.repair()


def test_a_later_run_removes_its_own_temporary_file_and_no_stranger_s(scene: Scene) -> None:
    kill(scene, IMAGE)
    (abandoned,) = scene.parts()
    assert scene.operation_id() in abandoned.name
    strangers = [scene.folder / name for name in (".seedream-op_00000000-1.part", ".fox.png.part")]
    for stranger in strangers:
        stranger.write_bytes(b"of another program")
    assert scene.run("download", "--pending").exit_code == 0
    assert scene.parts() == sorted(strangers)
    assert all(stranger.read_bytes() == b"of another program" for stranger in strangers)
    assert len(scene.images()) == 1


def test_a_link_at_the_temporary_name_is_not_followed(scene: Scene) -> None:
    kill(scene, IMAGE)
    (abandoned,) = scene.parts()
    abandoned.unlink()
    victim = scene.program.cwd / "victim"
    victim.write_bytes(b"do not touch")
    abandoned.symlink_to(victim)
    assert scene.run("download", "--pending").exit_code == 0
    assert victim.read_bytes() == b"do not touch"
    assert scene.parts() == []


class TestAnUnansweredCreate:
    """Its key is good for 7 days, less an hour for clocks that differ."""

    @pytest.mark.parametrize("days", [-0.002, 0.0, 6.9])
    def test_is_sent_again_with_its_key(self, scene: Scene, days: float) -> None:
        kill(scene, SUBMIT)
        assert scene.run("generate", "--resume", "last", clock=days * DAY).exit_code == 0
        assert len(scene.service.tasks) == 1
        assert len({create.headers["idempotency-key"] for create in scene.service.creates}) == 1

    def test_is_settled_by_no_refusal_of_a_later_run(self, scene: Scene) -> None:
        kill(scene, SUBMIT)
        scene.service.strikes.append(Strike(SUBMIT, line.refused(402, "insufficient_quota")))
        assert scene.run("generate", "--resume", "last").exit_code == 5
        assert scene.rows() == ["unanswered"]
        scene.repair()
        assert scene.run("generate", "--resume", "last").exit_code == 0
        assert len(scene.service.tasks) == len(scene.images()) == 1

    @pytest.mark.parametrize("days", [-1.0, 7.0, 400.0])
    def test_of_another_time_is_refused_unless_it_may_pay_again(self, scene: Scene, days: float) -> None:
        kill(scene, SUBMIT)
        refused = scene.run("generate", "--resume", scene.operation_id(), clock=days * DAY)
        assert refused.exit_code == 2
        assert "is not from the last 7 days" in refused.stderr
        assert "could pay again" in refused.stderr
        assert scene.service.counts["submit"] == 1
        again = self._followed(scene, refused, days)
        assert again.exit_code == 0, again.stderr
        assert len(scene.service.tasks) == 2
        assert len(scene.images()) == 1

    def _followed(self, scene: Scene, refused: Result, days: float) -> Result:
        words = refused.stderr.splitlines()[-1].split()
        assert words[0] == "seedream"
        assert words[-1] == "--new-key"
        return scene.run(*words[1:], clock=days * DAY)


@pytest.mark.parametrize("days", [-400.0, 6.0])
def test_a_task_is_downloaded_whatever_the_clock_says(scene: Scene, days: float) -> None:
    kill(scene, POLL)
    assert scene.run("download", "--pending", clock=days * DAY).exit_code == 0
    assert len(scene.service.tasks) == len(scene.images()) == 1


def test_an_answer_that_the_history_could_not_take_leads_to_the_place_all_the_same(scene: Scene) -> None:
    scene.service.strikes.append(Strike(SUBMIT, acts.at_the_server(scene, acts.disk_full), times=1))
    result = scene.generate()
    assert result.exit_code == 9
    scene.repair()
    assert scene.follow(result).exit_code == 0
    assert [path.relative_to(scene.program.cwd).as_posix() for path in scene.images()] == ["out/fox.png"]
    assert scene.run("generate", "--resume", "last").exit_code == 0
    assert len(scene.service.tasks) == len(scene.images()) == 1
    assert scene.run("generate", "--resume", "last").exit_code == 2


def test_a_history_that_cannot_be_read_is_put_aside_by_a_command_and_never_deleted(scene: Scene) -> None:
    broken = []

    def corrupt(scene: Scene) -> None:
        acts.history_is_corrupt(scene)
        broken.append(scene.history.read_bytes())

    result = scene.generate(at=START, act=corrupt)
    assert result.exit_code == 9
    assert scene.service.counts.total() == 0
    assert scene.history.read_bytes() == broken[0]
    scene.follow(result)
    assert not scene.history.exists()
    assert Path(f"{scene.history}.broken").read_bytes() == broken[0]
    assert scene.generate().exit_code == 0


def test_one_name_for_two_tasks_is_resumed_without_harm_to_the_first(scene: Scene) -> None:
    for prompt in ("one", "two"):
        assert scene.run("generate", prompt, "--no-wait").exit_code == 0
    scene.service.strikes.append(Strike(IMAGE, line.refused(404, "gone"), first=2))
    failed = scene.run("download", "task_1", "task_2", "-o", "out/fox.png")
    assert failed.exit_code == 9
    assert "  seedream download task_2\n" in failed.stderr
    scene.repair()
    assert scene.run("download", "task_2").exit_code == 0
    assert [path.name for path in scene.images()] == ["fox-2.png", "fox.png"]


def test_a_name_that_was_taken_meanwhile_does_not_keep_an_image_away(scene: Scene) -> None:
    """Also where the history does not know where the image was to go."""
    scene.service.strikes.append(Strike(SUBMIT, acts.at_the_server(scene, acts.disk_full), times=1))

    def taken(scene: Scene) -> None:
        (scene.folder / "fox.png").write_bytes(b"a stranger's")

    result = scene.generate(at=("seedream_cli.tasks.download:save_results", 1), act=taken)
    assert result.exit_code == 9
    scene.repair()
    assert scene.follow(result).exit_code == 0
    assert len(scene.images()) == 1
    assert (scene.folder / "fox.png").read_bytes() == b"a stranger's"

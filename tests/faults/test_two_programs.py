"""Two programs at the same time want the same thing."""

from __future__ import annotations

import signal
import sys
import threading

import pytest
from faults import acts
from faults.scene import Scene
from support.raw import HttpCall
from support.service import IMAGE, POLLS, SUBMIT, Honest, Service, Strike

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="limits of another process, and capabilities"),
]


def test_one_name_for_two_images_keeps_both(scene: Scene) -> None:
    both_are_here = threading.Barrier(2, timeout=20)

    def together(service: Service, exchange: HttpCall, honest: Honest) -> None:
        both_are_here.wait()
        exchange.connection.sendall(honest())

    scene.service.strikes.append(Strike(IMAGE, together, times=2))
    programs = [scene.start("generate", f"fox {name}", "-o", "out/fox.png") for name in ("one", "two")]
    results = [program.result() for program in programs]
    assert [result.exit_code for result in results] == [0, 0]
    assert sorted(result.stdout for result in results) == ["out/fox-2.png\n", "out/fox.png\n"]
    assert len(scene.service.tasks) == len(scene.images()) == 2
    assert "fox.png is taken: the image is saved as fox-2.png" in "".join(result.stderr for result in results)
    assert scene.rows() == ["saved", "saved"]
    assert scene.parts() == []


@pytest.mark.parametrize("stage", [SUBMIT, IMAGE])
def test_resuming_one_operation_twice_pays_and_saves_once(scene: Scene, stage: str) -> None:
    killed = acts.at_the_server(scene, acts.signalled("SIGKILL"), midway=stage == IMAGE)
    scene.service.strikes.append(Strike(stage, killed, times=1))
    assert scene.generate().exit_code == -signal.SIGKILL
    name = scene.operation_id()
    programs = [scene.start("generate", "--resume", name) for _ in range(3)]
    results = [program.result() for program in programs]
    # Whoever comes while another is saving the image says so; the image is the other's to save.
    assert {result.exit_code for result in results} <= {0, 9}
    assert 0 in [result.exit_code for result in results]
    assert all("another program" in result.stderr for result in results if result.exit_code == 9)
    assert len(scene.service.tasks) == len(scene.images()) == 1
    assert scene.rows() == ["saved"]
    assert scene.parts() == []


def test_saving_what_another_program_is_saving_is_told(scene: Scene) -> None:
    """And costs nothing: not even the image is fetched a second time."""
    results = []

    def a_second_one(scene: Scene) -> None:
        results.append(scene.run("download", "--pending"))

    scene.service.strikes.append(Strike(IMAGE, acts.at_the_server(scene, a_second_one, midway=True), times=1))
    assert scene.generate().exit_code == 0
    assert results[0].exit_code == 9
    assert "another program is saving this image" in results[0].stderr
    assert scene.service.counts["image"] == 1
    assert scene.service.tasks[0].polls == POLLS + 1
    assert scene.rows() == ["saved"]

"""A run that is ended early, by a signal or a bug: what had come is kept, and the same command goes on."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from support import network_faults as line
from support.forked import ForkServer, Point, Run
from support.program import Program, hint
from support.raw import Exchange
from support.service import IMAGE, POLL, SUBMIT, Fault, FaultRule, Honest, Service
from sync.checkout import Checkout

from seedream_cli.sandbox.server import Sandbox

pytestmark = pytest.mark.slow

NAMES = [f"n{number}" for number in range(6)]
MANIFEST = "".join(f'[assets.{name}]\nprompt = "a {name}"\n' for name in NAMES)


@pytest.fixture
def checkout(fork_server: ForkServer, tmp_path: Path, service: Service) -> Checkout:
    made = Checkout(fork_server, tmp_path / "home", service.base_url)
    made.write(MANIFEST)
    return made


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "the program did not come this far"
        time.sleep(0.005)


@dataclass
class Hanging:
    """Hangs up every task but the first two at one stage; ``count`` says how many by now."""

    fault: Fault
    count: int = 0
    _spared: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, service: Service, exchange: Exchange, honest: Honest) -> None:
        path = f"{exchange.request.path}/"
        with self._lock:
            spared = "/task_1/" in path or "/task_2/" in path
            if exchange.request.method == "POST" and self._spared < 2:
                spared = True
                self._spared += 1
            self.count += not spared
        if spared:
            exchange.connection.sendall(honest())
        else:
            self.fault(service, exchange, honest)


class TestASignal:
    @pytest.mark.parametrize(
        ("stage", "fault", "number", "exit_code"),
        [
            pytest.param(SUBMIT, line.hang_midway, signal.SIGINT, 130, id="in the middle of a create"),
            pytest.param(POLL, line.hang_midway, signal.SIGINT, 130, id="in the middle of a poll"),
            pytest.param(IMAGE, line.hang_midway, signal.SIGINT, 130, id="in the middle of an image"),
            pytest.param(POLL, line.hang, signal.SIGTERM, 143, id="before the answer to a poll"),
        ],
    )
    def test_ends_the_wait_for_an_answer(
        self, checkout: Checkout, service: Service, stage: str, fault: Fault, number: int, exit_code: int
    ) -> None:
        hanging = Hanging(fault)
        service.fault_rules.append(FaultRule(stage, hanging))
        run = checkout.start("--jobs", "3")
        # Two images have come, and three workers hang at the next three.
        wait_until(lambda: len(checkout.lines()) == 2 and hanging.count == 3)
        wait_until(lambda: len(checkout.temporary()) == (3 if stage == IMAGE else 0))
        run.send(signal.Signals(number))
        stopped = run.result()
        assert stopped.exit_code == exit_code, stopped.stderr
        assert "Traceback" not in stopped.stderr
        assert "nothing is lost" in stopped.stderr
        assert hint(stopped) == ["sync"]
        # What is finished is kept, and told.
        assert sorted(stopped.paths) == [one["path"] for one in checkout.lines()] == checkout.files
        assert len(checkout.files) == 2
        assert (checkout.disagreements(), checkout.temporary()) == ([], [])
        # The same command pays for nothing twice.
        service.fault_rules.clear()
        finished = checkout(*hint(stopped)[1:])
        assert finished.exit_code == 0, finished.stderr
        assert len(service.tasks) == len(NAMES)
        assert checkout.files == [f"{name}.png" for name in NAMES]
        assert (checkout.disagreements(), checkout.temporary()) == ([], [])

    def test_ends_the_wait_for_a_poll(
        self, fork_server: ForkServer, tmp_path: Path, start_sandbox: Callable[..., Sandbox]
    ) -> None:
        sandbox = start_sandbox(faults=["never-completes"], rate=0)
        checkout = Checkout(fork_server, tmp_path / "home", sandbox.base_url)
        checkout.write(MANIFEST)
        run = checkout.start("--jobs", "6", "--json", "--poll-interval", "30")
        wait_until(lambda: sandbox.task_count() == 6)
        run.send(signal.SIGINT)
        stopped = run.result()
        assert stopped.exit_code == stopped.document["error"]["exit_code"] == 130
        assert stopped.document["error"]["hint"] == "seedream sync"
        assert [image["done"] for image in stopped.document["images"]] == [None] * 6

    def test_ends_the_wait_at_the_rate_limit(self, checkout: Checkout, service: Service) -> None:
        service.fault_rules.append(FaultRule(SUBMIT, line.rate_limited("50"), first=2))
        run = checkout.start("--jobs", "1")
        wait_until(lambda: service.counts[SUBMIT] == 2)
        run.send(signal.SIGINT)
        stopped = run.result()
        assert stopped.exit_code == 130
        assert len(checkout.lines()) == 1
        service.fault_rules.clear()
        assert checkout().exit_code == 0
        assert len(service.tasks) == len(NAMES)

    @pytest.mark.parametrize(
        "at",
        [
            *[("seedream_cli.sync.executor:SyncExecutor._hear", count) for count in range(5, 9)],
            ("seedream_cli.sync.lockfile_writer:LockfileWriter.change", 1),
            ("seedream_cli.sync.executor:SyncExecutor._drop_old", 1),
        ],
        ids=lambda at: f"{at[0].rpartition(':')[2]} {at[1]}",
    )
    def test_between_an_image_and_its_line_loses_neither(
        self, fork_server: ForkServer, tmp_path: Path, start_sandbox: Callable[..., Sandbox], at: Point
    ) -> None:
        sandbox = start_sandbox(seconds=0, rate=0)
        checkout = Checkout(fork_server, tmp_path / "home", sandbox.base_url)
        checkout.write('[assets.hero]\nprompt = "a red fox"\n')

        reached: list[Run] = []

        def once_the_image_is_here(run: Run) -> None:
            reached.append(run)
            wait_until(lambda: checkout.files == ["hero.png"])
            run.send(signal.SIGINT)

        stopped = checkout.start("--jobs", "1", at=at, act=once_the_image_is_here).result()
        # 0: it had finished all the same. How often a run listens is not the same every time.
        assert stopped.exit_code in (0, 130), stopped.stderr
        assert reached or at[1] > 5
        assert "Traceback" not in stopped.stderr
        assert [one["path"] for one in checkout.lines()] == checkout.files
        assert (checkout.disagreements(), checkout.temporary()) == ([], [])
        assert checkout().exit_code == 0
        assert sandbox.task_count() == 1
        assert checkout.files == ["hero.png"]


A_BUG = """
from seedream_cli.sync.project_files import Project

put = Project.put

def with_a_bug(self, item, part, image):
    if item.name == "n3":
        raise RuntimeError("a worker's bug")
    return put(self, item, part, image)

Project.put = with_a_bug
"""


def test_a_bug_in_a_worker_ends_the_run_as_one(seedream: Program, service: Service) -> None:
    """Nobody waits for a worker that is no more, and what the others had finished is kept."""
    (seedream.cwd / "seedream.toml").write_text(MANIFEST)
    (seedream.cwd / "bug").mkdir()
    (seedream.cwd / "bug" / "sitecustomize.py").write_text(A_BUG)
    seedream.use(service.base_url)
    done = seedream("sync", "--jobs", "1", env={"PYTHONPATH": str(seedream.cwd / "bug")})
    assert done.exit_code == 1, done.stderr
    assert "unforeseen RuntimeError: a worker's bug" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.paths == ["n0.png", "n1.png", "n2.png"]
    again = seedream("sync")
    assert again.exit_code == 0, again.stderr
    assert len(service.tasks) == len(NAMES)

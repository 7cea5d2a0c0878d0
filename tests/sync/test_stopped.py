"""Interrupted runs (signal or bug): finished images are kept, and the same command resumes."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from support import network_faults as line
from support.checkout import Checkout, NewCheckout
from support.forked import Point, Run
from support.program import Program, hint
from support.raw import Exchange
from support.service import IMAGE, POLL, SUBMIT, Fault, FaultRule, Honest, Service

from seedream_cli.sandbox.server import Sandbox

pytestmark = pytest.mark.slow

NAMES = [f"n{number}" for number in range(6)]
MANIFEST = "".join(f'[assets.{name}]\nprompt = "a {name}"\n' for name in NAMES)


@pytest.fixture
def checkout(new_checkout: NewCheckout, service: Service) -> Checkout:
    return new_checkout(service, MANIFEST)


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "timed out"
        time.sleep(0.005)


@dataclass
class HangAfterTwo:
    """A fault for all tasks except the first two. ``count`` is the number of tasks it has hit."""

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


class TestSignal:
    @pytest.mark.parametrize(
        ("stage", "fault", "number", "exit_code"),
        [
            pytest.param(SUBMIT, line.hang_midway, signal.SIGINT, 130, id="during submit"),
            pytest.param(POLL, line.hang_midway, signal.SIGINT, 130, id="during poll"),
            pytest.param(IMAGE, line.hang_midway, signal.SIGINT, 130, id="during download"),
            pytest.param(POLL, line.hang, signal.SIGTERM, 143, id="before poll response"),
        ],
    )
    def test_signal_during_request_keeps_finished_images(
        self, checkout: Checkout, service: Service, stage: str, fault: Fault, number: int, exit_code: int
    ) -> None:
        hanging = HangAfterTwo(fault)
        service.fault_rules.append(FaultRule(stage, hanging))
        run = checkout.start("--jobs", "3")
        # Two images are saved, and three workers hang.
        wait_until(lambda: len(checkout.entries()) == 2 and hanging.count == 3)
        wait_until(lambda: len(checkout.partial_files()) == (3 if stage == IMAGE else 0))
        run.send(signal.Signals(number))
        stopped = run.result()
        assert stopped.exit_code == exit_code, stopped.stderr
        assert "Traceback" not in stopped.stderr
        assert "nothing is lost" in stopped.stderr
        assert hint(stopped) == ["sync"]
        # Finished images are kept and reported.
        assert sorted(stopped.paths) == [entry["path"] for entry in checkout.entries()] == checkout.files
        assert len(checkout.files) == 2
        assert checkout.is_consistent()
        # The suggested command resumes without paying twice.
        service.fault_rules.clear()
        finished = checkout(*hint(stopped)[1:])
        assert finished.exit_code == 0, finished.stderr
        assert len(service.tasks) == len(NAMES)
        assert checkout.files == [f"{name}.png" for name in NAMES]
        assert checkout.is_consistent()

    def test_signal_during_poll_interval(
        self, new_checkout: NewCheckout, start_sandbox: Callable[..., Sandbox]
    ) -> None:
        sandbox = start_sandbox(faults=["never-completes"], rate=0)
        checkout = new_checkout(sandbox, MANIFEST)
        run = checkout.start("--jobs", "6", "--json", "--poll-interval", "30")
        wait_until(lambda: sandbox.task_count() == 6)
        run.send(signal.SIGINT)
        stopped = run.result()
        assert stopped.exit_code == stopped.document["error"]["exit_code"] == 130
        assert stopped.document["error"]["hint"] == "seedream sync"
        assert [image["done"] for image in stopped.document["images"]] == [None] * 6

    def test_signal_during_rate_limit_wait(self, checkout: Checkout, service: Service) -> None:
        service.fault_rules.append(FaultRule(SUBMIT, line.rate_limited("50"), first=2))
        run = checkout.start("--jobs", "1")
        wait_until(lambda: service.counts[SUBMIT] == 2)
        run.send(signal.SIGINT)
        stopped = run.result()
        assert stopped.exit_code == 130
        assert len(checkout.entries()) == 1
        service.fault_rules.clear()
        assert checkout().exit_code == 0
        assert len(service.tasks) == len(NAMES)

    @pytest.mark.parametrize(
        "at",
        [
            *[("seedream_cli.sync.executor:SyncExecutor._drain_messages", count) for count in range(5, 9)],
            ("seedream_cli.sync.lockfile_writer:LockfileWriter.update", 1),
            ("seedream_cli.sync.executor:SyncExecutor._remove_old_file", 1),
        ],
        ids=lambda at: f"{at[0].rpartition(':')[2]} {at[1]}",
    )
    def test_signal_between_file_and_lockfile_entry_loses_neither(
        self, new_checkout: NewCheckout, start_sandbox: Callable[..., Sandbox], at: Point
    ) -> None:
        sandbox = start_sandbox(seconds=0, rate=0)
        checkout = new_checkout(sandbox, '[assets.hero]\nprompt = "a red fox"\n')

        reached: list[Run] = []

        def interrupt_after_save(run: Run) -> None:
            reached.append(run)
            wait_until(lambda: checkout.files == ["hero.png"])
            run.send(signal.SIGINT)

        stopped = checkout.start("--jobs", "1", at=at, act=interrupt_after_save).result()
        # 0: the run had finished already. The number of calls of _drain_messages depends on the machine.
        assert stopped.exit_code in (0, 130), stopped.stderr
        assert reached or "_drain_messages" in at[0]
        assert "Traceback" not in stopped.stderr
        assert [entry["path"] for entry in checkout.entries()] == checkout.files
        assert checkout.is_consistent()
        assert checkout().exit_code == 0
        assert sandbox.task_count() == 1
        assert checkout.files == ["hero.png"]


BUGGY_SITECUSTOMIZE = """
from seedream_cli.sync.project_files import Project

put = Project.put

def put_with_bug(self, item, part, image):
    if item.name == "n3":
        raise RuntimeError("a worker's bug")
    return put(self, item, part, image)

Project.put = put_with_bug
"""


def test_bug_in_worker_ends_run_and_keeps_finished_images(seedream: Program, service: Service) -> None:
    (seedream.cwd / "seedream.toml").write_text(MANIFEST)
    (seedream.cwd / "bug").mkdir()
    (seedream.cwd / "bug" / "sitecustomize.py").write_text(BUGGY_SITECUSTOMIZE)
    seedream.use(service.base_url)
    done = seedream("sync", "--jobs", "1", env={"PYTHONPATH": str(seedream.cwd / "bug")})
    assert done.exit_code == 1, done.stderr
    assert "unforeseen RuntimeError: a worker's bug" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.paths == ["n0.png", "n1.png", "n2.png"]
    again = seedream("sync")
    assert again.exit_code == 0, again.stderr
    assert len(service.tasks) == len(NAMES)

"""Operations in parallel, ended by a signal: nothing is sent once it has been said what is under way."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest
from support.tasks import operation

from seedream_cli.errors import Stopped
from seedream_cli.events import Event, Polled, Submitted
from seedream_cli.history.request_bodies import RequestBodyStore
from seedream_cli.models import Operation
from seedream_cli.sandbox.server import Sandbox
from seedream_cli.tasks.batch import TaskBatch
from seedream_cli.tasks.context import TaskContext
from seedream_cli.tasks.run import generate_task

FIRST, SECOND = "op_first000", "op_second00"


class HeldBodies(RequestBodyStore):
    """The second operation waits here, as it would for a slow disk, before it is sent."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.reached, self.go_on = threading.Event(), threading.Event()

    def load_or_store(self, operation: Operation) -> bytes | None:
        if operation.id == SECOND:
            self.reached.set()
            assert self.go_on.wait(20)
        return super().load_or_store(operation)


Workers = Callable[[], list[threading.Thread]]


@pytest.fixture
def workers() -> Workers:
    """Return what lists the workers of this test, without those that hang since an earlier one."""
    before = set(threading.enumerate())

    def started() -> list[threading.Thread]:
        return [one for one in set(threading.enumerate()) - before if one.name.startswith("worker-")]

    return started


@pytest.fixture
def several(
    work_on: Callable[..., TaskContext], start_sandbox: Callable[..., Sandbox], tmp_path: Path
) -> Callable[[Callable[[Event], None], RequestBodyStore], tuple[TaskBatch, Sandbox]]:
    def make(on_event: Callable[[Event], None], bodies: RequestBodyStore) -> tuple[TaskBatch, Sandbox]:
        sandbox = start_sandbox(faults=["never-completes"], rate=0)
        work = work_on(sandbox.base_url, bodies=bodies, poll_interval=0.05)
        wanted = [
            operation(tmp_path, f"{one}.png", id=one, idempotency_key=f"key-{one}") for one in (FIRST, SECOND)
        ]
        return TaskBatch(work, wanted, generate_task, on_event=on_event, shield=nullcontext), sandbox

    return make


Make = Callable[[Callable[[Event], None], RequestBodyStore], tuple[TaskBatch, Sandbox]]


def test_what_was_not_sent_when_the_signal_came_is_not_sent_after_it(
    several: Make, workers: Workers, tmp_path: Path
) -> None:
    bodies = HeldBodies(tmp_path / "bodies")
    seen: list[Event] = []

    def on_event(event: Event) -> None:
        seen.append(event)
        if isinstance(event, Polled) and bodies.reached.is_set():
            raise Stopped

    stopped, sandbox = several(on_event, bodies)
    with pytest.raises(Stopped):
        stopped.run()
    reported = {event.operation.id for event in seen}
    bodies.go_on.set()
    for thread in workers():
        thread.join(20)
    assert reported == {FIRST}
    assert sandbox.task_count() == 1


def test_a_signal_while_the_first_answer_is_reported_begins_no_other(
    several: Make, workers: Workers, tmp_path: Path
) -> None:
    def on_event(event: Event) -> None:
        if isinstance(event, Submitted):
            raise Stopped

    stopped, sandbox = several(on_event, RequestBodyStore(tmp_path / "bodies"))
    with pytest.raises(Stopped):
        stopped.run()
    for thread in workers():
        thread.join(20)
    assert [one.id for one in stopped.not_begun] == [SECOND]
    assert sandbox.task_count() == 1

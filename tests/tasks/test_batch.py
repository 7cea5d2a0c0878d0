"""TaskBatch: the first task starts alone, and none is paid for after it failed or after a signal."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from support.scene import Scene
from support.tasks import operation

from seedream_cli.errors import KeyRefused, QuotaExceeded, SeedreamError, Stopped
from seedream_cli.events import Event, Notice, Polled, Sending, SubmitRejected, Submitted, TaskFinished
from seedream_cli.history.request_bodies import RequestBodyStore
from seedream_cli.models import Operation
from seedream_cli.tasks.batch import TaskBatch
from seedream_cli.tasks.context import TaskContext
from seedream_cli.tasks.rate_limiter import RateLimiter
from seedream_cli.tasks.run import generate_task

RunTask = Callable[[TaskContext, Operation], TaskFinished]


def batch(
    scene: Scene, run_task: RunTask, on_event: Callable[[Event], None], shield: Any = nullcontext
) -> TaskBatch:
    operations = [operation(scene.folder, id=f"op_{number}") for number in range(4)]
    return TaskBatch(scene.context(), operations, run_task, on_event=on_event, shield=shield)


def test_batch_starts_the_others_together_once_the_first_has_its_task(scene: Scene) -> None:
    other_started, together = threading.Event(), threading.Barrier(4, timeout=10)
    events, limiters = list[Event](), list[RateLimiter | None]()

    def run_task(context: TaskContext, current: Operation) -> TaskFinished:
        limiters.append(context.rate_limiter)
        if current.id == "op_0":
            assert not other_started.wait(0.1)
            context.on_event(Submitted(current))
        other_started.set()
        together.wait()
        context.on_event(TaskFinished(current))
        return TaskFinished(current)

    batch(scene, run_task, events.append).run()
    assert [type(event) for event in events] == [Submitted, *[TaskFinished] * 4]
    assert len({event.operation.id for event in events}) == 4
    assert isinstance(limiters[0], RateLimiter)
    assert all(limiter is limiters[0] for limiter in limiters)


@pytest.mark.parametrize(
    ("is_sent", "task_id", "error", "started"),
    [
        (False, None, QuotaExceeded("no"), 1),
        (False, None, KeyRefused("no"), 1),
        (True, None, QuotaExceeded("no"), 1),
        (True, "task_1", QuotaExceeded("no"), 4),
        (True, None, None, 4),
    ],
)
def test_batch_starts_no_other_if_the_first_got_no_task(
    scene: Scene, is_sent: bool, task_id: str | None, error: SeedreamError | None, started: int
) -> None:
    events, threads = list[Event](), list[threading.Thread]()

    def run_task(context: TaskContext, current: Operation) -> TaskFinished:
        threads.append(threading.current_thread())
        finished = TaskFinished(replace(current, task_id=task_id), error)
        for event in (Sending(current), Submitted(current) if is_sent else SubmitRejected(current), finished):
            context.on_event(event)
        return finished

    def on_event(event: Event) -> None:
        events.append(event)
        # The others start when the first has ended, at the earliest.
        threads[0].join(10)

    tasks = batch(scene, run_task, on_event)
    tasks.run()
    kinds = [type(event) for event in events if event.operation.id == "op_0"]
    assert kinds == [Sending, Submitted if is_sent else SubmitRejected, TaskFinished]
    assert (len(events), len(threads), len(tasks.not_begun)) == (3 * started, started, 4 - started)


@pytest.mark.parametrize(
    ("kind", "at", "started"), [(Sending, "op_0", 1), (Submitted, "op_0", 1), (Sending, "op_1", 4)]
)
def test_batch_after_a_signal_starts_no_other_and_reports_each_event_once(
    scene: Scene, kind: type[Event], at: str, started: int
) -> None:
    events, shielded, locks = list[Event](), list[bool](), list[Any]()
    all_started = threading.Barrier(started + 1, timeout=10)

    @contextmanager
    def shield() -> Iterator[None]:
        shielded.append(True)
        yield
        shielded.pop()

    def run_task(context: TaskContext, current: Operation) -> TaskFinished:
        locks.append(context.shield())
        context.on_event(Sending(current))
        context.on_event(Submitted(current))
        all_started.wait()
        with suppress(Stopped):
            context.pause(30)
        context.on_event(Notice(current, f"shielded: {bool(shielded)}"))
        raise Stopped

    def on_event(event: Event) -> None:
        events.append(event)
        if isinstance(event, kind) and event.operation.id == at:
            all_started.wait()
            raise KeyboardInterrupt

    tasks = batch(scene, run_task, on_event, shield)
    with pytest.raises(KeyboardInterrupt):
        tasks.run()
    for number in range(started):
        own = [event for event in events if event.operation.id == f"op_{number}"]
        assert [type(event) for event in own] == [Sending, Submitted, Notice]
        assert isinstance(own[2], Notice)
        assert own[2].text == "shielded: True"
    assert (len(events), len(tasks.not_begun)) == (3 * started, 4 - started)
    # From now on no worker can create a file: the main thread holds the lock.
    acquired: list[bool] = []
    other = threading.Thread(target=lambda: acquired.extend(lock.acquire(blocking=False) for lock in locks))
    other.start()
    other.join()
    assert acquired == [False] * started


class BlockingBodies(RequestBodyStore):
    """Blocks the second operation before it is sent, as a slow disk would."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.reached = threading.Event()
        self.released = threading.Event()

    def load_or_store(self, operation: Operation) -> bytes | None:
        if operation.id == "op_second00":
            self.reached.set()
            assert self.released.wait(20)
        return super().load_or_store(operation)


def test_batch_sends_nothing_after_a_signal(scene: Scene, tmp_path: Path) -> None:
    bodies = BlockingBodies(tmp_path / "bodies")
    events: list[Event] = []

    def on_event(event: Event) -> None:
        events.append(event)
        if isinstance(event, Polled) and bodies.reached.is_set():
            raise Stopped

    sandbox = scene.sandbox("never-completes", rate=0)
    operations = [
        operation(tmp_path, f"{name}.png", id=name, idempotency_key=f"key-{name}")
        for name in ("op_first000", "op_second00")
    ]
    context = scene.context(bodies=bodies, poll_interval=0.05)
    # Workers that hang since an earlier test are not of this batch.
    threads = set(threading.enumerate())
    with pytest.raises(Stopped):
        TaskBatch(context, operations, generate_task, on_event=on_event, shield=nullcontext).run()
    reported = {event.operation.id for event in events}
    bodies.released.set()
    for thread in set(threading.enumerate()) - threads:
        if thread.name.startswith("worker-"):
            thread.join(20)
    assert reported == {"op_first000"}
    assert sandbox.task_count() == 1

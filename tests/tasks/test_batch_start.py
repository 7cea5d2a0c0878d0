"""Of several tasks the first goes ahead, and none is paid for after it failed or after a signal."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import Any

import pytest
from msgspec.structs import replace
from support.scene import Scene
from support.tasks import operation

from seedream_cli.errors import QuotaExceeded, SeedreamError, Stopped
from seedream_cli.events import Event, Notice, Sending, SubmitRejected, Submitted, TaskFinished
from seedream_cli.models import Operation
from seedream_cli.tasks.batch import TaskBatch
from seedream_cli.tasks.context import TaskContext

Act = Callable[[TaskContext, Operation], TaskFinished]


def several(
    scene: Scene, act: Act, on_event: Callable[[Event], None], shield: Any = nullcontext
) -> TaskBatch:
    scene.base_url = "http://127.0.0.1:9/v1"
    operations = [operation(scene.folder, id=f"op_{number}") for number in range(4)]
    return TaskBatch(scene.work(), operations, act, on_event=on_event, shield=shield)


def test_the_first_goes_ahead_and_the_others_start_together_once_it_has_its_task(scene: Scene) -> None:
    other_began, together, heard = threading.Event(), threading.Barrier(4, timeout=10), list[Event]()

    def act(work: TaskContext, one: Operation) -> TaskFinished:
        if one.id == "op_0":
            assert not other_began.wait(0.1)
            work.on_event(Submitted(one))
        other_began.set()
        together.wait()
        work.on_event(TaskFinished(one))
        return TaskFinished(one)

    several(scene, act, heard.append).run()
    assert [type(event) for event in heard] == [Submitted, *[TaskFinished] * 4]
    assert len({event.operation.id for event in heard}) == 4


@pytest.mark.parametrize(
    ("is_sent", "task_id", "error", "begun"),
    [
        (False, None, QuotaExceeded("no"), 1),
        (True, None, QuotaExceeded("no"), 1),
        (True, "task_1", QuotaExceeded("no"), 4),
        (True, None, None, 4),
    ],
)
def test_no_other_is_begun_where_one_got_no_task(
    scene: Scene, is_sent: bool, task_id: str | None, error: SeedreamError | None, begun: int
) -> None:
    heard, threads = list[Event](), list[threading.Thread]()

    def act(work: TaskContext, one: Operation) -> TaskFinished:
        threads.append(threading.current_thread())
        end = TaskFinished(replace(one, task_id=task_id), error)
        for event in (Sending(one), Submitted(one) if is_sent else SubmitRejected(one), end):
            work.on_event(event)
        return end

    def on_event(event: Event) -> None:
        heard.append(event)
        # The others start at the earliest when the first has ended.
        threads[0].join(10)

    run = several(scene, act, on_event)
    run.run()
    kinds = [type(event) for event in heard if event.operation.id == "op_0"]
    assert kinds == [Sending, Submitted if is_sent else SubmitRejected, TaskFinished]
    assert (len(heard), len(threads), len(run.not_begun)) == (3 * begun, begun, 4 - begun)


@pytest.mark.parametrize(("at", "begun"), [("op_0", 1), ("op_1", 4)])
def test_after_a_signal_none_is_begun_and_what_had_happened_is_reported_once(
    scene: Scene, at: str, begun: int
) -> None:
    heard, shielded, locks = list[Event](), list[bool](), list[Any]()
    all_at_work = threading.Barrier(begun + 1, timeout=10)

    @contextmanager
    def shield() -> Iterator[None]:
        shielded.append(True)
        yield
        shielded.pop()

    def act(work: TaskContext, one: Operation) -> TaskFinished:
        locks.append(work.shield())
        work.on_event(Sending(one))
        work.on_event(Submitted(one))
        all_at_work.wait()
        with suppress(Stopped):
            work.pause(30)
        work.on_event(Notice(one, f"shielded: {bool(shielded)}"))
        raise Stopped

    def on_event(event: Event) -> None:
        heard.append(event)
        if isinstance(event, Sending) and event.operation.id == at:
            all_at_work.wait()
            raise KeyboardInterrupt

    run = several(scene, act, on_event, shield)
    with pytest.raises(KeyboardInterrupt):
        run.run()
    for number in range(begun):
        own = [event for event in heard if event.operation.id == f"op_{number}"]
        assert [type(event) for event in own] == [Sending, Submitted, Notice]
        assert isinstance(own[2], Notice)
        assert own[2].text == "shielded: True"
    assert (len(heard), len(run.not_begun)) == (3 * begun, 4 - begun)
    # From now on no thread makes a file: the one that runs them holds the lock of all.
    taken: list[bool] = []
    other = threading.Thread(target=lambda: taken.extend(lock.acquire(blocking=False) for lock in locks))
    other.start()
    other.join()
    assert taken == [False] * begun

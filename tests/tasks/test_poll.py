"""poll: when the state of a task is requested, and how the wait ends."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from support.clock import Clock, longest, shortest
from support.raw import Exchange, RawServer, Reply, answer, success
from support.scene import Scene
from support.tasks import SERVICE, of_kind, operation, run_task

from seedream_cli.errors import (
    ExitCode,
    KeyRefused,
    NotFound,
    RateLimited,
    SeedreamError,
    ServiceFailing,
    StillPending,
    Stopped,
    TaskFailed,
    Unreachable,
)
from seedream_cli.events import Asking, Polled, Retrying, TaskFinished, Waited
from seedream_cli.history.store import History
from seedream_cli.models import GenerationRequest, Operation
from seedream_cli.sandbox.server import Sandbox
from seedream_cli.tasks.context import TaskContext
from seedream_cli.tasks.poll import poll
from seedream_cli.tasks.rate_limiter import RateLimiter
from seedream_cli.tasks.run import query_task

StartRaw = Callable[..., RawServer]
MakeContext = Callable[..., TaskContext]


#: When the tasks were accepted and the waits begin.
NOW = Clock().time


def state(status: str, **more: Any) -> bytes:
    return success({"task_id": "task_1", "status": status, **more})


RUNNING = state("processing", progress=42)
DONE = state("completed", result=["https://img.test/1.png"])


@dataclass
class Polls:
    """Answers polls, and records in which second of the wait each one arrived."""

    clock: Clock
    replies: list[bytes | None]
    times: list[float] = field(default_factory=list)
    started: float = 0.0

    def __post_init__(self) -> None:
        self.started = self.clock.time

    def __call__(self, exchange: Exchange) -> None:
        self.times.append(round(self.clock.time - self.started, 6))
        reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        if reply is not None:
            exchange.connection.sendall(reply)


@dataclass
class PollRun:
    work: TaskContext
    polls: Polls
    clock: Clock
    operation: Operation

    def events(self, *, just_submitted: bool = True) -> tuple[list[Any], SeedreamError | None]:
        seen: list[Any] = []
        try:
            poll(replace(self.work, on_event=seen.append), self.operation, just_submitted=just_submitted)
        except SeedreamError as error:
            return seen, error
        return seen, None

    def states(self) -> list[str]:
        known = self.work.history.find(SERVICE, self.operation.id)
        assert known is not None
        return [status for _, status in self.work.history.states(known)]


Wait = Callable[..., PollRun]


@pytest.fixture
def wait(start_raw: StartRaw, make_context: MakeContext, clock: Clock, tmp_path: Path) -> Wait:
    """Return a function that makes a task. Its polls get ``replies``, the last one repeatedly."""

    def make(*replies: Reply, task: dict[str, Any] | None = None, **options: Any) -> PollRun:
        polls = Polls(clock, [reply for reply in replies if not callable(reply)])
        work = make_context(start_raw(polls).base_url, **options)
        known = {"task_id": "task_1", "status": "pending", "accepted": NOW, **(task or {})}
        return PollRun(work, polls, clock, operation(tmp_path, **known))

    return make


# The times of polls


@pytest.mark.parametrize(("jitter", "gaps"), [(shortest, (2.0, 5.0, 15.0)), (longest, (2.04, 10.0, 30.0))])
def test_poll_slows_down_with_time(wait: Wait, jitter: Any, gaps: tuple[float, float, float]) -> None:
    run = wait(RUNNING, timeout=400.0, jitter=jitter)
    _, error = run.events()
    assert isinstance(error, StillPending)
    times = [0.0, *run.polls.times]
    for before, after in pairwise(times[:-1]):
        expected = gaps[0] if before < 30 else gaps[1] if before < 120 else gaps[2]
        assert after - before == pytest.approx(expected)
    # The last poll is at the end of the wait.
    assert times[-1] == 400
    # A longer interval stretches the whole schedule.
    run = wait(RUNNING, timeout=300.0, poll_interval=4.0)
    run.events()
    times = [0.0, *run.polls.times]
    assert (times[1] - times[0], times[-2] - times[-3]) == (4.0, 30.0)


@pytest.mark.parametrize("jitter", [shortest, longest])
@pytest.mark.parametrize("timeout", [2.0, 31.0, 119.5, 300.0])
@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(RUNNING, id="answered"),
        pytest.param(answer(503), id="503"),
        pytest.param(answer(429, headers={"Retry-After": "0"}), id="429, now"),
        pytest.param(None, id="dropped"),
    ],
)
def test_poll_keeps_the_interval(wait: Wait, jitter: Any, timeout: float, reply: Reply) -> None:
    run = wait(reply, timeout=timeout, jitter=jitter)
    run.events()
    times = run.polls.times
    assert all(after - before >= 2.0 - 1e-6 for before, after in pairwise(times))
    assert times[-1] <= timeout


def test_poll_waits_first_only_for_a_task_just_submitted(wait: Wait) -> None:
    run = wait(DONE)
    run.events(just_submitted=True)
    assert run.polls.times == [2.0]
    events, error = run.events(just_submitted=False)
    assert error is None
    assert run.polls.times == [2.0, 2.0]
    assert isinstance(events[0], Asking)


@pytest.mark.parametrize("just_submitted", [True, False])
@pytest.mark.parametrize("timeout", [0.0, 0.5, 1.9])
def test_poll_asks_at_least_once(
    start_raw: StartRaw, make_context: MakeContext, tmp_path: Path, timeout: float, just_submitted: bool
) -> None:
    class Ticking(Clock):
        """A clock that also advances between pauses, as a real one does."""

        def __call__(self) -> float:
            self.time += 0.001
            return self.time

    clock = Ticking()
    server = start_raw(RUNNING)
    work = make_context(server.base_url, timeout=timeout, clock=clock, pause=clock.pause)
    current = operation(tmp_path, task_id="task_1", status="pending")
    with pytest.raises(StillPending):
        poll(work, current, just_submitted=just_submitted)
    assert len(server.requests) == 1
    assert sum(clock.pauses) <= timeout


@pytest.mark.parametrize(("seconds", "gap"), [(1, 2.0), (2, 2.0), (7, 7.0), (40, 40.0)])
def test_poll_waits_for_retry_after(wait: Wait, seconds: int, gap: float) -> None:
    run = wait(answer(429, headers={"Retry-After": str(seconds)}), DONE)
    events, error = run.events(just_submitted=False)
    assert error is None
    assert run.polls.times == [0.0, gap]
    (retrying,) = of_kind(events, Retrying)
    assert (retrying.pause, retrying.what) == (gap, "polling")


def test_poll_backs_off_after_errors(wait: Wait) -> None:
    failing = [answer(503)] * 5
    run = wait(*failing, DONE, jitter=longest)
    _, error = run.events(just_submitted=False)
    assert error is None
    assert run.polls.times == [0.0, 2.0, 4.0, 6.0, 10.0, 18.0]
    run = wait(*failing[1:], RUNNING, answer(503), DONE, jitter=longest)
    run.events(just_submitted=False)
    assert run.polls.times[-1] - run.polls.times[-2] == 2.0


# Durations of earlier tasks


def record_earlier_tasks(run: PollRun, seconds: float, **values: Any) -> None:
    """Record four earlier tasks of the same kind that took ``seconds``."""
    for number in range(4):
        earlier = {"id": f"op_{number:08}", "created": 1_700_000_000.0 + number, "idempotency_key": None}
        ended = {"status": "completed", "seconds": seconds, "task_id": None}
        run.work.history.record(replace(run.operation, **{**earlier, **ended, **values}))


ANOTHER_KIND = {"request": GenerationRequest("a fox", quality="4K")}


@pytest.mark.parametrize(
    ("just_submitted", "earlier", "task", "options", "times"),
    [
        pytest.param(True, {}, {}, {}, [18.0, 20.0, 22.0], id="when earlier tasks ended"),
        pytest.param(True, ANOTHER_KIND, {}, {}, [2.0, 4.0, 6.0], id="tasks of another kind are ignored"),
        pytest.param(False, {}, {"accepted": NOW - 5}, {}, [0.0, 13.0, 15.0], id="now, then when they ended"),
        pytest.param(False, {}, {"request": None}, {}, [0.0, 2.0, 4.0], id="no request"),
        pytest.param(False, {}, {"accepted": None}, {}, [0.0, 2.0, 4.0], id="no acceptance"),
        pytest.param(True, {}, {}, {"timeout": 10.0}, [10.0], id="a shorter wait, at its end"),
    ],
)
def test_poll_uses_the_durations_of_earlier_tasks(
    wait: Wait, just_submitted: bool, earlier: Any, task: Any, options: Any, times: list[float]
) -> None:
    run = wait(RUNNING, RUNNING, DONE, **options)
    record_earlier_tasks(run, 18.0, **earlier)
    run.operation = replace(run.operation, **task)
    _, error = run.events(just_submitted=just_submitted)
    assert run.polls.times == times
    assert isinstance(error, StillPending) is bool(options)


def test_poll_continues_if_the_history_cannot_be_read(wait: Wait, history: History) -> None:
    run = wait(DONE)
    with closing(sqlite3.connect(history.path)) as other, other:
        other.execute("DROP TABLE operations")
    _, error = run.events()
    assert error is None
    assert run.polls.times == [2.0]


def test_poll_learns_from_tasks_of_the_same_run(wait: Wait) -> None:
    run = wait(DONE)
    polls = []
    for number in range(5):
        run.polls.started = run.clock.time
        run.polls.times.clear()
        run.polls.replies[:] = [*[RUNNING] * 4, DONE] if number < 3 else [DONE]
        named = {"id": f"op_{number:08}", "idempotency_key": f"key-{number}", "task_id": f"task_{number}"}
        run.operation = replace(run.operation, **named)
        run.events()
        polls.append(list(run.polls.times))
    # Responses without completed_at: the duration ends half an interval before the last poll.
    assert polls == [[2.0, 4.0, 6.0, 8.0, 10.0]] * 3 + [[9.0], [8.0]]


def test_poll_keeps_the_interval_with_any_durations(wait: Wait) -> None:
    draws = random.Random(1)
    run = wait(RUNNING, jitter=draws.uniform)
    for task in range(25):
        record_earlier_tasks(run, draws.uniform(0.2, 40))
        run.polls.times.clear()
        run.polls.replies[:] = [
            draws.choice((RUNNING, RUNNING, RUNNING, answer(503), answer(429, headers={"Retry-After": "1"})))
            for _ in range(draws.randrange(8))
        ] + [DONE]
        run.operation = replace(run.operation, id=f"op_fresh{task:03}")
        run.events(just_submitted=draws.random() < 0.8)
        assert all(after - before >= 2.0 - 1e-5 for before, after in pairwise(run.polls.times))


# The end of the wait


@pytest.mark.parametrize("status", ["failed", "cancelled", "rejected", "FAILED"])
def test_poll_ends_at_a_failed_state(wait: Wait, history: History, status: str) -> None:
    run = wait(RUNNING, state(status, error_message="no capacity", error_code="FULL"))
    events, error = run.events()
    assert isinstance(error, TaskFailed)
    assert (error.exit_code, error.code, error.detail) == (ExitCode.TASK_FAILED, "FULL", "no capacity")
    assert len(run.polls.times) == 2
    last = of_kind(events, Polled)[-1].operation
    assert (last.status, last.is_done) == (status, True)
    assert history.find(SERVICE, "task_1") == last


@pytest.mark.parametrize("status", ["pending", "processing", "queued", "running", "submitted", "Unknown!"])
def test_poll_continues_through_any_other_state(wait: Wait, status: str) -> None:
    run = wait(state(status, progress=30), DONE)
    events, error = run.events()
    assert error is None
    polled = [(event.operation.status, event.operation.progress) for event in of_kind(events, Polled)]
    assert polled == [(status, 30), ("completed", None)]
    assert run.states() == [status, "completed"]


@pytest.mark.parametrize("missing", [{"result": []}, {"result": None}, {"result": ""}, {}])
def test_poll_continues_if_completed_has_no_result(wait: Wait, missing: dict[str, Any]) -> None:
    run = wait(state("completed", **missing), state("completed", **missing), DONE)
    events, error = run.events()
    assert error is None
    assert len(run.polls.times) == 3
    assert of_kind(events, Polled)[-1].operation.results == ("https://img.test/1.png",)


def test_poll_timeout_raises_still_pending(wait: Wait, history: History) -> None:
    _, error = wait(RUNNING, timeout=20.0).events()
    assert isinstance(error, StillPending)
    assert error.exit_code == ExitCode.PENDING
    assert error.message == "task_1 is not finished after 20.0 s: processing 42%"
    assert history.last_unfinished(SERVICE) is not None
    # Also if earlier polls failed, but the last one did not.
    _, error = wait(answer(503), answer(503), RUNNING, timeout=20.0).events()
    assert isinstance(error, StillPending)


@pytest.mark.parametrize(
    ("reply", "kind"),
    [(answer(429), RateLimited), (answer(503), ServiceFailing), (None, Unreachable)],
    ids=["429", "503", "dropped"],
)
def test_poll_timeout_raises_the_error_of_the_last_poll(
    wait: Wait, reply: Reply, kind: type[SeedreamError]
) -> None:
    _, error = wait(RUNNING, reply, timeout=20.0).events()
    assert type(error) is kind
    assert error.exit_code == ExitCode.UNAVAILABLE


def test_poll_ends_at_once_if_retry_after_is_beyond_the_timeout(wait: Wait) -> None:
    run = wait(RUNNING, answer(429, headers={"Retry-After": "3600"}), timeout=100.0)
    events, error = run.events()
    assert of_kind(events, Retrying) == []
    assert isinstance(error, RateLimited)
    assert "asks to come back in 3600 s" in error.message
    assert run.polls.times == [2.0, 4.0]
    assert run.clock.pauses == [2.0, 2.0]


@pytest.mark.parametrize(
    ("status", "kind"), [(401, KeyRefused), (403, KeyRefused), (404, NotFound), (400, SeedreamError)]
)
def test_poll_ends_at_an_error_that_is_not_transient(
    wait: Wait, status: int, kind: type[SeedreamError]
) -> None:
    run = wait(answer(status))
    _, error = run.events()
    assert isinstance(error, kind)
    assert len(run.polls.times) == 1


def test_poll_reports_a_long_wait_once(wait: Wait) -> None:
    events, _ = wait(RUNNING, timeout=300.0).events()
    assert [event.seconds for event in of_kind(events, Waited)] == [120.0]
    events, _ = wait(RUNNING, timeout=119.0).events()
    assert of_kind(events, Waited) == []


def test_poll_ends_when_stopped(wait: Wait) -> None:
    def stop(seconds: float) -> None:
        raise Stopped

    run = wait(RUNNING, pause=stop)
    _, error = run.events()
    assert isinstance(error, Stopped)
    assert run.polls.times == []


# Recording


def completed(completed_at: Any) -> bytes:
    return state("completed", result=["https://a/1"], completed_at=completed_at)


@pytest.mark.parametrize(
    ("replies", "seconds"),
    [
        pytest.param((RUNNING, RUNNING, DONE), 5.0, id="as it was seen"),
        pytest.param((RUNNING, RUNNING, completed(int(NOW) + 5)), 6.0, id="as the service reports"),
        pytest.param((RUNNING, RUNNING, completed(int(NOW) + 3)), 5.0, id="when it was still unfinished"),
        pytest.param((completed(int(NOW)),), 1.0, id="before the first poll"),
        pytest.param((RUNNING, answer(503), completed(int(NOW) + 2)), 3.0, id="a failed poll is ignored"),
    ],
)
def test_duration_of_a_task_just_submitted(wait: Wait, replies: tuple[bytes, ...], seconds: float) -> None:
    events, _ = wait(*replies).events()
    assert events[-1].operation.seconds == seconds


def test_duration_excludes_the_wait_for_the_rate_limiter(wait: Wait, clock: Clock) -> None:
    limiter = RateLimiter(clock)
    run = wait(RUNNING, DONE, rate_limiter=limiter)
    # Calls that were in flight when the rate limit was met.
    limiter.on_rate_limited(RateLimited("too many", retry_after=15.0), clock.time)
    events, _ = run.events()
    assert run.polls.times == [15.0, 17.0]
    assert events[-1].operation.seconds == 16.0
    run.polls.times.clear()
    limiter.on_rate_limited(RateLimited("too many", retry_after=15.0), clock.time)
    run.polls.replies[:] = [DONE]
    run.operation = replace(run.operation, id="op_later", seconds=None)
    events, _ = run.events()
    assert events[-1].operation.seconds == 1.0


@pytest.mark.parametrize("wait_for", [False, True], ids=["once", "watched"])
def test_duration_of_an_older_task_is_recorded_once(wait: Wait, wait_for: bool) -> None:
    run = wait(completed(int(NOW) - 83), task={"accepted": NOW - 100.0})
    _, end = run_task(query_task, run.work, run.operation, wait=wait_for)
    assert end.operation.seconds == 18.0
    for reply in (DONE, completed(int(NOW) - 83)):
        known = {"accepted": NOW - 100.0, "status": "completed", "seconds": 6.0}
        run = wait(reply, task={"id": "op_known", "idempotency_key": "key-2", **known})
        _, end = run_task(query_task, run.work, run.operation)
        assert end.operation.seconds == 6.0


def test_duration_ignores_an_absurd_completed_at(wait: Wait) -> None:
    for number, completed_at in enumerate((10**400, 1, -1, "soon", None)):
        run = wait(completed(completed_at), task={"accepted": NOW, "id": f"op_{number}"})
        events, error = run.events(just_submitted=False)
        assert (error, events[-1].operation.seconds) == (None, None)


def test_poll_records_every_state_once(wait: Wait) -> None:
    run = wait(RUNNING, RUNNING, RUNNING, DONE)
    run.events()
    assert run.states() == ["processing", "completed"]
    odd = b'{"code": 200, "data": {"status": "odd\\ud83d", "error_message": "\\udc00"}}'
    run = wait(answer(200, odd), DONE, task={"id": "op_odd", "idempotency_key": "key-2"})
    _, error = run.events()
    assert error is None
    assert run.states()[-2:] == ["odd?", "completed"]


def test_poll_does_not_record_an_external_task(wait: Wait, history: History) -> None:
    run = wait(DONE, task={"request": None, "idempotency_key": None})
    _, error = run.events(just_submitted=False)
    assert error is None
    assert history.find(SERVICE, "task_1") is None


# A single status request


def test_query_task_asks_once_or_waits(wait: Wait) -> None:
    run = wait(RUNNING, DONE, task={"results": ("u",)})
    events, end = run_task(query_task, run.work, run.operation)
    assert isinstance(end.error, StillPending)
    # Known results are kept.
    assert end.operation.results == of_kind(events, Polled)[0].operation.results == ("u",)
    assert [type(event) for event in events] == [Asking, Polled, TaskFinished]
    assert run.polls.times == [0.0]
    _, end = run_task(query_task, run.work, run.operation)
    assert (end.error, end.operation.results) == (None, ("https://img.test/1.png",))
    run = wait(RUNNING, DONE)
    _, end = run_task(query_task, run.work, run.operation, wait=True)
    assert (end.error, len(run.polls.times)) == (None, 2)


def test_query_task_is_retried_five_times(wait: Wait) -> None:
    run = wait(answer(503), jitter=longest)
    _, end = run_task(query_task, run.work, run.operation)
    assert isinstance(end.error, ServiceFailing)
    assert run.clock.pauses == [0.5, 1.0, 2.0, 4.0]


def test_repeated_generate_needs_fewer_requests(start_sandbox: Callable[..., Sandbox], scene: Scene) -> None:
    sandbox = start_sandbox(seconds=15.0, clock=scene.clock)
    scene.base_url = sandbox.base_url
    took: list[int] = []
    for number in range(8):
        before = len(sandbox.requests)
        # Each run is new and knows only the history.
        named = {"id": f"op_{number:08}", "created": scene.clock(), "idempotency_key": f"key-{number}"}
        one = operation(scene.folder, f"fox-{number}.png", **named)
        _, end = scene.generate(one, wait=True, jitter=longest)
        assert end.error is None
        took.append(len(sandbox.requests) - before)
    # Submit, polls and download.
    assert took[:3] == [10, 10, 10]
    assert max(took[3:]) <= 4

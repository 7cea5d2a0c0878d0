"""Waiting for a task: when it is asked for, and how the wait ends."""

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
from support.clock import Clock
from support.raw import Exchange, RawServer, Reply, answer, success
from support.scene import Scene
from support.tasks import SERVICE, of_kind, operation, played

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
WorkOn = Callable[..., TaskContext]


#: When the tasks were accepted, and their waits begin.
NOW = Clock().time


def state(status: str, **more: Any) -> bytes:
    return success({"task_id": "task_1", "status": status, **more})


RUNNING = state("processing", progress=42)
DONE = state("completed", result=["https://img.test/1.png"])


@dataclass
class Polls:
    """Answers polls, and keeps at which second of the wait each came."""

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
class Watching:
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
        return [word for _, word in self.work.history.states(known)]


Wait = Callable[..., Watching]


@pytest.fixture
def wait(start_raw: StartRaw, work_on: WorkOn, clock: Clock, tmp_path: Path) -> Wait:
    """A task that answers polls with ``replies`` in turn, the last one again and again."""

    def make(*replies: Reply, task: dict[str, Any] | None = None, **options: Any) -> Watching:
        polls = Polls(clock, [reply for reply in replies if not callable(reply)])
        work = work_on(start_raw(polls).base_url, **options)
        known = {"task_id": "task_1", "status": "pending", "accepted": NOW, **(task or {})}
        return Watching(work, polls, clock, operation(tmp_path, **known))

    return make


def shortest(low: float, high: float) -> float:
    return low


def longest(low: float, high: float) -> float:
    return high


# When polls leave


@pytest.mark.parametrize(("spread", "gaps"), [(shortest, (2.0, 5.0, 15.0)), (longest, (2.04, 10.0, 30.0))])
def test_polls_become_rarer(wait: Wait, spread: Any, gaps: tuple[float, float, float]) -> None:
    watching = wait(RUNNING, timeout=400.0, spread=spread)
    _, error = watching.events()
    assert isinstance(error, StillPending)
    times = [0.0, *watching.polls.times]
    for before, after in pairwise(times[:-1]):
        expected = gaps[0] if before < 30 else gaps[1] if before < 120 else gaps[2]
        assert after - before == pytest.approx(expected)
    # The last one falls to the end of the wait.
    assert times[-1] == 400
    # An interval of one's own stretches the whole schedule.
    watching = wait(RUNNING, timeout=300.0, poll_interval=4.0)
    watching.events()
    times = [0.0, *watching.polls.times]
    assert (times[1] - times[0], times[-2] - times[-3]) == (4.0, 30.0)


@pytest.mark.parametrize("spread", [shortest, longest])
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
def test_two_polls_are_never_closer_than_the_interval(
    wait: Wait, spread: Any, timeout: float, reply: Reply
) -> None:
    watching = wait(reply, timeout=timeout, spread=spread)
    watching.events()
    times = watching.polls.times
    assert all(after - before >= 2.0 - 1e-6 for before, after in pairwise(times))
    assert times[-1] <= timeout


def test_a_fresh_task_is_given_a_moment_and_an_older_one_is_asked_for_at_once(wait: Wait) -> None:
    watching = wait(DONE)
    watching.events(just_submitted=True)
    assert watching.polls.times == [2.0]
    events, error = watching.events(just_submitted=False)
    assert error is None
    assert watching.polls.times == [2.0, 2.0]
    assert isinstance(events[0], Asking)


@pytest.mark.parametrize("just_submitted", [True, False])
@pytest.mark.parametrize("timeout", [0.0, 0.5, 1.9])
def test_one_try_is_made_however_short_the_wait(
    start_raw: StartRaw, work_on: WorkOn, tmp_path: Path, timeout: float, just_submitted: bool
) -> None:
    class Ticking(Clock):
        """Real clocks go on while nobody waits."""

        def __call__(self) -> float:
            self.time += 0.001
            return self.time

    clock = Ticking()
    server = start_raw(RUNNING)
    work = work_on(server.base_url, timeout=timeout, clock=clock, pause=clock.pause)
    current = operation(tmp_path, task_id="task_1", status="pending")
    with pytest.raises(StillPending):
        poll(work, current, just_submitted=just_submitted)
    assert len(server.requests) == 1
    assert sum(clock.pauses) <= timeout


@pytest.mark.parametrize(("seconds", "gap"), [(1, 2.0), (2, 2.0), (7, 7.0), (40, 40.0)])
def test_a_retry_after_on_a_poll_is_honoured(wait: Wait, seconds: int, gap: float) -> None:
    watching = wait(answer(429, headers={"Retry-After": str(seconds)}), DONE)
    events, error = watching.events(just_submitted=False)
    assert error is None
    assert watching.polls.times == [0.0, gap]
    (retrying,) = of_kind(events, Retrying)
    assert (retrying.pause, retrying.what) == (gap, "polling")


def test_polls_that_fail_back_off_until_one_is_answered(wait: Wait) -> None:
    failing = [answer(503)] * 5
    watching = wait(*failing, DONE, spread=longest)
    _, error = watching.events(just_submitted=False)
    assert error is None
    assert watching.polls.times == [0.0, 2.0, 4.0, 6.0, 10.0, 18.0]
    watching = wait(*failing[1:], RUNNING, answer(503), DONE, spread=longest)
    watching.events(just_submitted=False)
    assert watching.polls.times[-1] - watching.polls.times[-2] == 2.0


# What earlier tasks tell


def record_or_warn(watching: Watching, seconds: float, **values: Any) -> None:
    """Four tasks of the same kind that took so long."""
    for number in range(4):
        earlier = {"id": f"op_{number:08}", "created": 1_700_000_000.0 + number, "idempotency_key": None}
        ended = {"status": "completed", "seconds": seconds, "task_id": None}
        watching.work.history.record(replace(watching.operation, **{**earlier, **ended, **values}))


ANOTHER_KIND = {"request": GenerationRequest("a fox", quality="4K")}


@pytest.mark.parametrize(
    ("just_submitted", "earlier", "task", "options", "times"),
    [
        pytest.param(True, {}, {}, {}, [18.0, 20.0, 22.0], id="when earlier tasks ended"),
        pytest.param(True, ANOTHER_KIND, {}, {}, [2.0, 4.0, 6.0], id="another kind tells nothing"),
        pytest.param(False, {}, {"accepted": NOW - 5}, {}, [0.0, 13.0, 15.0], id="now, then when they ended"),
        pytest.param(False, {}, {"request": None}, {}, [0.0, 2.0, 4.0], id="no request"),
        pytest.param(False, {}, {"accepted": None}, {}, [0.0, 2.0, 4.0], id="no acceptance"),
        pytest.param(True, {}, {}, {"timeout": 10.0}, [10.0], id="a shorter wait, at its end"),
    ],
)
def test_a_task_is_asked_for_when_earlier_ones_ended(
    wait: Wait, just_submitted: bool, earlier: Any, task: Any, options: Any, times: list[float]
) -> None:
    watching = wait(RUNNING, RUNNING, DONE, **options)
    record_or_warn(watching, 18.0, **earlier)
    watching.operation = replace(watching.operation, **task)
    _, error = watching.events(just_submitted=just_submitted)
    assert watching.polls.times == times
    assert isinstance(error, StillPending) is bool(options)


def test_a_history_that_cannot_be_read_does_not_stop_the_wait(wait: Wait, history: History) -> None:
    watching = wait(DONE)
    with closing(sqlite3.connect(history.path)) as other, other:
        other.execute("DROP TABLE operations")
    _, error = watching.events()
    assert error is None
    assert watching.polls.times == [2.0]


def test_a_run_learns_from_its_own_tasks(wait: Wait) -> None:
    watching = wait(DONE)
    polls = []
    for number in range(5):
        watching.polls.started = watching.clock.time
        watching.polls.times.clear()
        watching.polls.replies[:] = [*[RUNNING] * 4, DONE] if number < 3 else [DONE]
        named = {"id": f"op_{number:08}", "idempotency_key": f"key-{number}", "task_id": f"task_{number}"}
        watching.operation = replace(watching.operation, **named)
        watching.events()
        polls.append(list(watching.polls.times))
    # The answers have no time of completion: half an interval before it was seen.
    assert polls == [[2.0, 4.0, 6.0, 8.0, 10.0]] * 3 + [[9.0], [8.0]]


def test_two_polls_are_never_closer_than_the_interval_whatever_is_known(wait: Wait) -> None:
    draws = random.Random(1)
    watching = wait(RUNNING, spread=draws.uniform)
    for task in range(25):
        record_or_warn(watching, draws.uniform(0.2, 40))
        watching.polls.times.clear()
        watching.polls.replies[:] = [
            draws.choice((RUNNING, RUNNING, RUNNING, answer(503), answer(429, headers={"Retry-After": "1"})))
            for _ in range(draws.randrange(8))
        ] + [DONE]
        watching.operation = replace(watching.operation, id=f"op_fresh{task:03}")
        watching.events(just_submitted=draws.random() < 0.8)
        assert all(after - before >= 2.0 - 1e-5 for before, after in pairwise(watching.polls.times))


# How the wait ends


@pytest.mark.parametrize("word", ["failed", "cancelled", "rejected", "FAILED"])
def test_a_terminal_state_stops_the_wait_at_once(wait: Wait, history: History, word: str) -> None:
    watching = wait(RUNNING, state(word, error_message="no capacity", error_code="FULL"))
    events, error = watching.events()
    assert isinstance(error, TaskFailed)
    assert (error.exit_code, error.code, error.detail) == (ExitCode.TASK_FAILED, "FULL", "no capacity")
    assert len(watching.polls.times) == 2
    last = of_kind(events, Polled)[-1].operation
    assert (last.status, last.is_done) == (word, True)
    assert history.find(SERVICE, "task_1") == last


@pytest.mark.parametrize("word", ["pending", "processing", "queued", "running", "submitted", "Unknown Word!"])
def test_any_other_word_is_waited_through_and_shown_as_it_came(wait: Wait, word: str) -> None:
    watching = wait(state(word, progress=30), DONE)
    events, error = watching.events()
    assert error is None
    polled = [(event.operation.status, event.operation.progress) for event in of_kind(events, Polled)]
    assert polled == [(word, 30), ("completed", None)]
    assert watching.states() == [word, "completed"]


@pytest.mark.parametrize("nothing", [{"result": []}, {"result": None}, {"result": ""}, {}])
def test_completed_without_a_result_is_not_the_end(wait: Wait, nothing: dict[str, Any]) -> None:
    watching = wait(state("completed", **nothing), state("completed", **nothing), DONE)
    events, error = watching.events()
    assert error is None
    assert len(watching.polls.times) == 3
    assert of_kind(events, Polled)[-1].operation.results == ("https://img.test/1.png",)


def test_a_wait_that_runs_out_is_pending(wait: Wait, history: History) -> None:
    _, error = wait(RUNNING, timeout=20.0).events()
    assert isinstance(error, StillPending)
    assert error.exit_code == ExitCode.PENDING
    assert error.message == "task_1 is not finished after 20.0 s: processing 42%"
    assert history.last_unfinished(SERVICE) is not None
    # Also where polls failed, but the last one did not.
    _, error = wait(answer(503), answer(503), RUNNING, timeout=20.0).events()
    assert isinstance(error, StillPending)


@pytest.mark.parametrize(
    ("reply", "kind"),
    [(answer(429), RateLimited), (answer(503), ServiceFailing), (None, Unreachable)],
    ids=["429", "503", "dropped"],
)
def test_a_wait_that_runs_out_while_polling_fails_is_that_failure(
    wait: Wait, reply: Reply, kind: type[SeedreamError]
) -> None:
    _, error = wait(RUNNING, reply, timeout=20.0).events()
    assert type(error) is kind
    assert error.exit_code == ExitCode.UNAVAILABLE


def test_a_retry_after_beyond_the_wait_ends_it_at_once(wait: Wait) -> None:
    watching = wait(RUNNING, answer(429, headers={"Retry-After": "3600"}), timeout=100.0)
    _, error = watching.events()
    assert isinstance(error, RateLimited)
    assert "asks to come back in 3600 s" in error.message
    assert watching.polls.times == [2.0, 4.0]
    assert watching.clock.pauses == [2.0, 2.0]


@pytest.mark.parametrize(
    ("status", "kind"), [(401, KeyRefused), (403, KeyRefused), (404, NotFound), (400, SeedreamError)]
)
def test_a_poll_that_is_refused_ends_the_wait(wait: Wait, status: int, kind: type[SeedreamError]) -> None:
    watching = wait(answer(status))
    _, error = watching.events()
    assert isinstance(error, kind)
    assert len(watching.polls.times) == 1


def test_a_wait_of_two_minutes_is_worth_a_word_once(wait: Wait) -> None:
    events, _ = wait(RUNNING, timeout=300.0).events()
    assert [event.seconds for event in of_kind(events, Waited)] == [120.0]
    events, _ = wait(RUNNING, timeout=119.0).events()
    assert of_kind(events, Waited) == []


def test_a_stop_ends_the_wait(wait: Wait) -> None:
    def stop(seconds: float) -> None:
        raise Stopped

    watching = wait(RUNNING, pause=stop)
    _, error = watching.events()
    assert isinstance(error, Stopped)
    assert watching.polls.times == []


# What is kept of it


def completed(completed_at: Any) -> bytes:
    return state("completed", result=["https://a/1"], completed_at=completed_at)


@pytest.mark.parametrize(
    ("replies", "seconds"),
    [
        pytest.param((RUNNING, RUNNING, DONE), 5.0, id="as it was seen"),
        pytest.param((RUNNING, RUNNING, completed(int(NOW) + 5)), 6.0, id="as the service reports"),
        pytest.param((RUNNING, RUNNING, completed(int(NOW) + 3)), 5.0, id="when it was still unfinished"),
        pytest.param((completed(int(NOW)),), 1.0, id="before the first poll"),
        pytest.param((RUNNING, answer(503), completed(int(NOW) + 2)), 3.0, id="a failed poll tells nothing"),
    ],
)
def test_how_long_a_fresh_task_took(wait: Wait, replies: tuple[bytes, ...], seconds: float) -> None:
    events, _ = wait(*replies).events()
    assert events[-1].operation.seconds == seconds


def test_waiting_for_a_turn_does_not_make_a_task_take_longer(wait: Wait, clock: Clock) -> None:
    limiter = RateLimiter(clock)
    watching = wait(RUNNING, DONE, rate_limiter=limiter)
    # Calls that were on their way when this one was limited.
    limiter.on_rate_limited(RateLimited("too many", retry_after=15.0), clock.time)
    events, _ = watching.events()
    assert watching.polls.times == [15.0, 17.0]
    assert events[-1].operation.seconds == 16.0
    watching.polls.times.clear()
    limiter.on_rate_limited(RateLimited("too many", retry_after=15.0), clock.time)
    watching.polls.replies[:] = [DONE]
    watching.operation = replace(watching.operation, id="op_later", seconds=None)
    events, _ = watching.events()
    assert events[-1].operation.seconds == 1.0


@pytest.mark.parametrize("wait_for", [False, True], ids=["once", "watched"])
def test_how_long_an_older_task_took_is_told_by_the_service_and_found_out_once(
    wait: Wait, wait_for: bool
) -> None:
    watching = wait(completed(int(NOW) - 83), task={"accepted": NOW - 100.0})
    _, end = played(query_task, watching.work, watching.operation, wait=wait_for)
    assert end.operation.seconds == 18.0
    for reply in (DONE, completed(int(NOW) - 83)):
        known = {"accepted": NOW - 100.0, "status": "completed", "seconds": 6.0}
        watching = wait(reply, task={"id": "op_known", "idempotency_key": "key-2", **known})
        _, end = played(query_task, watching.work, watching.operation)
        assert end.operation.seconds == 6.0


def test_an_absurd_time_of_completion_is_left_out(wait: Wait) -> None:
    for number, completed_at in enumerate((10**400, 1, -1, "soon", None)):
        watching = wait(completed(completed_at), task={"accepted": NOW, "id": f"op_{number}"})
        events, error = watching.events(just_submitted=False)
        assert (error, events[-1].operation.seconds) == (None, None)


def test_every_state_is_recorded_once_whatever_its_text(wait: Wait) -> None:
    watching = wait(RUNNING, RUNNING, RUNNING, DONE)
    watching.events()
    assert watching.states() == ["processing", "completed"]
    odd = b'{"code": 200, "data": {"status": "odd\\ud83d", "error_message": "\\udc00"}}'
    watching = wait(answer(200, odd), DONE, task={"id": "op_odd", "idempotency_key": "key-2"})
    _, error = watching.events()
    assert error is None
    assert watching.states()[-2:] == ["odd?", "completed"]


def test_a_task_of_another_machine_is_not_recorded_when_it_is_looked_at(wait: Wait, history: History) -> None:
    watching = wait(DONE, task={"request": None, "idempotency_key": None})
    _, error = watching.events(just_submitted=False)
    assert error is None
    assert history.find(SERVICE, "task_1") is None


# Asking once


def test_status_asks_once_and_watches_where_it_is_asked_to(wait: Wait) -> None:
    watching = wait(RUNNING, DONE, task={"results": ("u",)})
    events, end = played(query_task, watching.work, watching.operation)
    assert isinstance(end.error, StillPending)
    # What was known is kept.
    assert end.operation.results == of_kind(events, Polled)[0].operation.results == ("u",)
    assert [type(event) for event in events] == [Asking, Polled, TaskFinished]
    assert watching.polls.times == [0.0]
    _, end = played(query_task, watching.work, watching.operation)
    assert (end.error, end.operation.results) == (None, ("https://img.test/1.png",))
    watching = wait(RUNNING, DONE)
    _, end = played(query_task, watching.work, watching.operation, wait=True)
    assert (end.error, len(watching.polls.times)) == (None, 2)


def test_status_is_asked_five_times_at_most(wait: Wait) -> None:
    watching = wait(answer(503), spread=longest)
    _, end = played(query_task, watching.work, watching.operation)
    assert isinstance(end.error, ServiceFailing)
    assert watching.clock.pauses == [0.5, 1.0, 2.0, 4.0]


@pytest.mark.parametrize("fault", ["status-drop", "status-html", "status-429", "strange-status"])
def test_a_service_that_stumbles_is_outlasted(scene: Scene, fault: str) -> None:
    scene.sandbox(f"{fault}=3")
    _, end = scene.generate(wait=True)
    assert end.error is None
    assert (scene.folder / "fox.png").exists()


def test_the_same_image_again_takes_fewer_requests(
    start_sandbox: Callable[..., Sandbox], scene: Scene
) -> None:
    sandbox = start_sandbox(seconds=15.0, clock=scene.clock)
    scene.base_url = sandbox.base_url
    took: list[int] = []
    for number in range(8):
        before = len(sandbox.requests)
        # A run of its own: it knows what the history tells it.
        named = {"id": f"op_{number:08}", "created": scene.clock(), "idempotency_key": f"key-{number}"}
        one = operation(scene.folder, f"fox-{number}.png", **named)
        _, end = scene.generate(one, wait=True, spread=longest)
        assert end.error is None
        took.append(len(sandbox.requests) - before)
    # Create, polls and download.
    assert took[:3] == [10, 10, 10]
    assert max(took[3:]) <= 4

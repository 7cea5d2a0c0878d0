"""Plain lines: one a change of state on stderr, the answer alone on stdout."""

from __future__ import annotations

import re
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from support.events import FILE, SENT, operation
from support.reporters import Tell, told

from seedream_cli.errors import NotSaved, SeedreamError, StillPending, Stopped, TaskFailed
from seedream_cli.events import (
    Asking,
    Event,
    FileKept,
    HttpCall,
    Notice,
    Polled,
    Receiving,
    Saved,
    Sending,
    Submitted,
    TaskFinished,
    Waited,
)
from seedream_cli.models import Operation
from seedream_cli.output.plain_reporter import PlainReporter, total_cost
from seedream_cli.output.presenters import SavedImages
from seedream_cli.output.stdio import Stderr, Stdout

DONE = operation(status="completed", results=("https://x/1.png",), progress=100, seconds=12.34, files=(FILE,))
LIFE: list[Event] = [
    Sending(SENT),
    Submitted(operation(cost="0.035")),
    Polled(operation(status="pending")),
    Polled(operation(status="processing", progress=10)),
    Polled(operation(status="processing", progress=60)),
    Polled(DONE),
    Receiving(DONE, 1, 1, 0, 1234),
    Receiving(DONE, 1, 1, 1234, 1234),
    Saved(DONE, FILE, "red-fox.png"),
    TaskFinished(replace(DONE, cost="0.035")),
]


@pytest.fixture
def tell(capfd: pytest.CaptureFixture[str]) -> Tell:
    return partial(told, capfd)


def test_each_change_of_state_is_one_line(tell: Tell) -> None:
    stdout, stderr = tell(LIFE)
    assert stdout == "red-fox.png\n"
    *lines, summary = stderr.splitlines()
    sending, accepted, *states = lines
    for fact in ("api.apipod.ai", "seedream-v4.5", "1:1", "2K", "op_12345678"):
        assert fact in sending
    assert re.fullmatch(r"img_1: .*\b0\.035", accepted)
    assert states == ["img_1: pending", "img_1: processing 10%", "img_1: completed"]
    assert re.search(r"\b12\.3 s\b.*\b0\.035", summary)


def test_quiet_leaves_paths_and_errors(tell: Tell) -> None:
    assert tell([*LIFE[:-1], Notice(DONE, "by the way"), LIFE[-1]], quiet=True) == ("red-fox.png\n", "")
    failed = TaskFinished(operation(status="failed"), TaskFailed("the task failed", hint="seedream status"))
    assert tell([Sending(SENT), failed], quiet=True) == (
        "",
        "error: img_1: the task failed\n  seedream status\n",
    )


def test_an_error_is_at_most_three_lines(tell: Tell) -> None:
    error = TaskFailed(
        "the task failed", detail="content\npolicy", request_id="req_9", hint="seedream generate …"
    )
    _, stderr = tell([TaskFinished(operation(status="failed"), error)])
    assert stderr.splitlines() == [
        "error: img_1: the task failed",
        "  content policy (request req_9)",
        "  seedream generate …",
    ]


@pytest.mark.parametrize(
    ("task", "error", "line"),
    [
        (operation(status="processing", progress=40), StillPending("pending"), "img_1\tprocessing\t40%"),
        (DONE, None, "img_1\tcompleted"),
        (
            operation(status="failed", error_message="content\tpolicy\x1b[31m"),
            TaskFailed("failed"),
            "img_1\tfailed\tcontent policy [31m",
        ),
    ],
)
def test_a_state_is_one_line_with_tabs(
    tell: Tell, task: Operation, error: StillPending | TaskFailed | None, line: str
) -> None:
    stdout, _ = tell([Asking(task), Polled(task), TaskFinished(task, error)], kind="states")
    assert stdout == f"{line}\n"


def test_a_file_that_is_there_already_is_an_answer_too(tell: Tell) -> None:
    stdout, stderr = tell([FileKept(DONE, FILE, "red-fox.png"), TaskFinished(DONE)])
    assert stdout == "red-fox.png\n"
    assert stderr.startswith("red-fox.png ")


def test_a_long_wait_gets_a_word(tell: Tell) -> None:
    _, stderr = tell([Waited(operation(), 120)])
    assert re.fullmatch(r"note: img_1 .* 2 min 00 s .*\n", stderr)


def test_costs_are_added_up_where_they_are_numbers(tell: Tell) -> None:
    assert summary(tell, "out/1.png", "out/2.png", costs=["0.1", "0.2"]).endswith(" 0.3")
    words = summary(tell, "out/1.png", "out/2.png", costs=["1 credit", "2 credits"])
    assert words.endswith(" 1 credit + 2 credits")


@given(
    st.lists(
        st.text(max_size=64)
        | st.sampled_from(
            ["NaN", "sNaN", "-Infinity", "Infinity", "1e999999999", "1e-999999999", "-0", "1_0"]
        ),
        max_size=4,
    )
)
def test_any_costs_have_a_sum_or_stand_beside_each_other(costs: list[str]) -> None:
    total = total_cost(costs)
    assert (total is None) == (costs == [])
    assert total is None or len(total) <= 64 * 5


@pytest.mark.parametrize(
    ("paths", "count", "place"),
    [
        (["fox.png"], "1", " ./,"),
        (["/fox.png"], "1", " /,"),
        (["out/1.png", "out/2.png"], "2", " out/,"),
        (["a/1.png", "b/2.png"], "2", ""),
    ],
)
def test_the_summary_tells_how_many_and_where(tell: Tell, paths: list[str], count: str, place: str) -> None:
    told = summary(tell, *paths, costs=["0.1"] * len(paths))
    assert re.search(rf"\b{count}\b", told)
    assert place in told if place else "/" not in told


@pytest.mark.parametrize("error", [NotSaved("no room"), Stopped()], ids=["not saved", "stopped"])
def test_the_way_back_to_what_is_left_is_the_last_line(tell: Tell, error: SeedreamError) -> None:
    error.hint = "seedream download img_1"
    fell = TaskFinished(DONE, error)
    assert tell([Saved(DONE, FILE, "fox.png"), fell])[1].splitlines()[-1] == "  seedream download img_1"
    both = tell([Saved(DONE, FILE, "fox.png"), fell, TaskFinished(replace(DONE, id="op_2"))])[1].splitlines()[
        -1
    ]
    assert both.startswith("  ") == isinstance(error, Stopped)


def summary(tell: Tell, *paths: str, costs: list[str]) -> str:
    """The closing line after these were saved."""
    events: list[Event] = []
    for number, (path, cost) in enumerate(zip(paths, costs, strict=True)):
        done = replace(DONE, id=f"op_{number}", task_id=f"img_{number}", cost=cost)
        events += [Saved(done, FILE, path), TaskFinished(done)]
    return tell(events)[1].splitlines()[-1]


def test_exchanges_are_told_with_verbose_alone(capfd: pytest.CaptureFixture[str]) -> None:
    exchange = HttpCall("GET", "https://api.apipod.ai/v1/x", 429, 0.1234, "req_1", "slow\x1b down")
    unanswered = HttpCall("GET", "https://api.apipod.ai/v1/x", None, 10, None, None)
    for verbose in (False, True):
        teller = PlainReporter(Stdout(), Stderr(colour=False), SavedImages(), quiet=False, verbose=verbose)
        teller.trace(exchange)
        teller.trace(unanswered)
    answered, not_answered = capfd.readouterr().err.splitlines()
    for fact in ("GET https://api.apipod.ai/v1/x", "429", "0.12 s", "req_1", "slow  down"):
        assert fact in answered
    assert "10.00 s" in not_answered

"""Plain reporter: results on stdout, one line on stderr for each change of status."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from support.reporters import FILE, SENT, Report, operation

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
EVENTS: list[Event] = [
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


def test_plain_prints_one_line_per_change_of_status(report: Report) -> None:
    stdout, stderr = report(EVENTS)
    assert stdout == "red-fox.png\n"
    *lines, summary = stderr.splitlines()
    sending, accepted, *states = lines
    for fact in ("api.apipod.ai", "seedream-v4.5", "1:1", "2K", "op_12345678"):
        assert fact in sending
    assert re.fullmatch(r"img_1: .*\b0\.035", accepted)
    assert states == ["img_1: pending", "img_1: processing 10%", "img_1: completed"]
    assert re.search(r"\b12\.3 s\b.*\b0\.035", summary)


def test_quiet_prints_paths_and_errors_only(report: Report) -> None:
    assert report([*EVENTS[:-1], Notice(DONE, "by the way"), EVENTS[-1]], quiet=True) == ("red-fox.png\n", "")
    failed = TaskFinished(operation(status="failed"), TaskFailed("the task failed", hint="seedream status"))
    assert report([Sending(SENT), failed], quiet=True) == (
        "",
        "error: img_1: the task failed\n  seedream status\n",
    )


def test_error_has_at_most_three_lines(report: Report) -> None:
    error = TaskFailed(
        "the task failed", detail="content\npolicy", request_id="req_9", hint="seedream generate …"
    )
    _, stderr = report([TaskFinished(operation(status="failed"), error)])
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
def test_status_is_one_line_with_tabs(
    report: Report, task: Operation, error: StillPending | TaskFailed | None, line: str
) -> None:
    stdout, _ = report([Asking(task), Polled(task), TaskFinished(task, error)], kind="states")
    assert stdout == f"{line}\n"


def test_kept_file_is_printed_as_result(report: Report) -> None:
    stdout, stderr = report([FileKept(DONE, FILE, "red-fox.png"), TaskFinished(DONE)])
    assert stdout == "red-fox.png\n"
    assert stderr.startswith("red-fox.png ")


def test_long_wait_prints_note(report: Report) -> None:
    _, stderr = report([Waited(operation(), 120)])
    assert re.fullmatch(r"note: img_1 .* 2 min 00 s .*\n", stderr)


def test_summary_adds_numeric_costs(report: Report) -> None:
    assert summary(report, "out/1.png", "out/2.png", costs=["0.1", "0.2"]).endswith(" 0.3")
    words = summary(report, "out/1.png", "out/2.png", costs=["1 credit", "2 credits"])
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
def test_total_cost_accepts_any_text(costs: list[str]) -> None:
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
def test_summary_has_count_and_folder(report: Report, paths: list[str], count: str, place: str) -> None:
    text = summary(report, *paths, costs=["0.1"] * len(paths))
    assert re.search(rf"\b{count}\b", text)
    assert place in text if place else "/" not in text


@pytest.mark.parametrize("error", [NotSaved("no room"), Stopped()], ids=["not saved", "stopped"])
def test_hint_of_failure_is_last_line(report: Report, error: SeedreamError) -> None:
    error.hint = "seedream download img_1"
    failed = TaskFinished(DONE, error)
    assert report([Saved(DONE, FILE, "fox.png"), failed])[1].splitlines()[-1] == "  seedream download img_1"
    _, stderr = report([Saved(DONE, FILE, "fox.png"), failed, TaskFinished(replace(DONE, id="op_2"))])
    assert stderr.splitlines()[-1].startswith("  ") == isinstance(error, Stopped)


def summary(report: Report, *paths: str, costs: list[str]) -> str:
    """Return the summary after these paths were saved."""
    events: list[Event] = []
    for number, (path, cost) in enumerate(zip(paths, costs, strict=True)):
        done = replace(DONE, id=f"op_{number}", task_id=f"img_{number}", cost=cost)
        events += [Saved(done, FILE, path), TaskFinished(done)]
    return report(events)[1].splitlines()[-1]


def test_verbose_prints_http_calls(capfd: pytest.CaptureFixture[str]) -> None:
    call = HttpCall("GET", "https://api.apipod.ai/v1/x", 429, 0.1234, "req_1", "slow\x1b down")
    unanswered = HttpCall("GET", "https://api.apipod.ai/v1/x", None, 10, None, None)
    for verbose in (False, True):
        reporter = PlainReporter(Stdout(), Stderr(colour=False), SavedImages(), quiet=False, verbose=verbose)
        reporter.trace(call)
        reporter.trace(unanswered)
    answered, not_answered = capfd.readouterr().err.splitlines()
    for fact in ("GET https://api.apipod.ai/v1/x", "429", "0.12 s", "req_1", "slow  down"):
        assert fact in answered
    assert "10.00 s" in not_answered

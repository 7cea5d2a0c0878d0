"""The measurements can be run, and what they count is as it should be.

What they time is not tested: a machine has other things to do.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.needs import program

from benchmarks.measuring import milliseconds, number
from benchmarks.pictures import write_png
from benchmarks.rows import Row, at_least, at_most, in_columns, in_markdown, more, times
from benchmarks.service import Service
from seedream_cli.image_file import inspect

ROOT = Path(__file__).parent.parent

#: By what it is, the fields of a row as `--json` has them.
Rows = Mapping[str, Mapping[str, Any]]

pytestmark = pytest.mark.skipif(
    not hasattr(os, "wait4"), reason="this system does not tell what a process used"
)


def run(*arguments: str, path: str = os.environ["PATH"]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments],
        capture_output=True,
        cwd=ROOT,
        env={"PATH": path, "PYTHONDONTWRITEBYTECODE": "1"},
        text=True,
        timeout=110,
        check=False,
    )


@pytest.fixture
def measured(tmp_path: Path) -> Callable[[str], Rows]:
    """Runs a measurement in its quick form; its rows, which README's table has too, with the same reaches."""

    def measure(name: str) -> Rows:
        done = run(name, "--quick", "--json", str(tmp_path / "rows.json"))
        assert done.returncode == 0, done.stderr
        rows = {row["what"]: row for row in json.loads((tmp_path / "rows.json").read_text(encoding="utf-8"))}
        assert rows
        in_readme = [cells for cells in table_of_readme() if cells[0] in rows]
        assert [(what, reach) for what, *_, reach, _ in in_readme] == [
            (what, row["reach"] or "–") for what, row in rows.items()
        ]
        return rows

    return measure


def table_of_readme() -> list[list[str]]:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    [table] = re.findall(r"^\| what \| measured \|.*\n\|[-:| ]+\|\n((?:\|.*\n)+)", readme, re.MULTILINE)
    return [line.strip("| ").split(" | ") for line in table.splitlines()]


@pytest.mark.once
def test_the_start_is_measured(measured: Callable[[str], Rows]) -> None:
    assert {"the config's part of that, CPU", "the history's part of that, CPU"} <= measured(
        "start-up"
    ).keys()


@pytest.mark.once
def test_static_values_are_completed_without_python(measured: Callable[[str], Rows]) -> None:
    program("bash")
    assert measured("completion")["completion of static values, processes of Python"]["ours"] == 0


@pytest.mark.once
def test_an_image_takes_three_requests_and_two_connections_where_the_first_poll_finds_it(
    measured: Callable[[str], Rows],
) -> None:
    rows = measured("time-to-image")
    for kind in ("empty history", "history knows"):
        assert rows[f"requests a task, 6–12 s, {kind}"]["ours"] == 3
    assert rows["connections a task, to the API and for images"]["ours"] == 2


@pytest.mark.once
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells what a process wrote")
def test_each_byte_of_an_image_is_written_once_and_not_read_again(measured: Callable[[str], Rows]) -> None:
    program("curl")
    rows = measured("large-images")
    assert rows["bytes written to files for each byte of an image"]["ours"] == pytest.approx(1, abs=0.01)
    assert rows["bytes read from files for each byte of an image"]["ours"] < 0.1


@pytest.mark.once
def test_a_new_image_of_a_set_takes_three_requests_and_is_not_lost_to_a_limit(
    measured: Callable[[str], Rows],
) -> None:
    rows = measured("sync-run")
    assert rows["`sync`, 1000 new images, 64 jobs, requests a task"]["ours"] <= 4
    limited = "`sync`, 1000 new images, 64 jobs, 20 calls a second"
    assert rows[f"{limited}, tasks without an image"]["ours"] == 0
    assert rows[f"{limited}, calls refused for one task"]["held"]


@pytest.mark.once
def test_the_plan_of_sync_is_measured(measured: Callable[[str], Rows]) -> None:
    assert all(row["reach"] for row in measured("sync-plan").values())


def test_a_benchmark_that_does_not_exist_is_refused_with_those_that_do() -> None:
    done = run("sync-plam")
    assert done.returncode == 2
    assert "sync-plan" in done.stderr


def test_what_cannot_be_measured_is_told_and_fails_with_the_table_of_the_rest(tmp_path: Path) -> None:
    done = run("completion", "--quick", path=str(tmp_path))
    assert done.returncode == 1
    assert "completion: there is no bash" in done.stderr
    assert "measured" in done.stdout.splitlines()[-1]


@pytest.mark.parametrize(
    ("reach", "ours", "held"),
    [
        (times(1.5), 15.0, True),
        (times(1.5), 15.1, False),
        (more(4, "4"), 14.0, True),
        (more(4, "4"), 14.1, False),
        (at_most(2, "2"), 2.0, True),
        (at_most(2, "2"), 2.1, False),
        (at_least(2, "2"), 2.0, True),
        (at_least(2, "2"), 1.9, False),
    ],
)
def test_a_reach_is_held_up_to_its_limit(reach: Any, ours: float, held: bool) -> None:
    assert Row("it", ours, number, "another", 10.0, reach).held is held


def test_the_table_is_the_same_in_columns_and_as_readme_has_it() -> None:
    rows = [
        Row("`--version`", 0.03, milliseconds, "`python -c pass`", 0.01, times(1.5)),
        Row("polls", 3, number, reach=at_most(3, "3")),
        Row("the config's part", 0.004, milliseconds),
    ]
    cells = [re.split(r" {2,}", line.strip()) for line in in_columns(rows).splitlines()[1:]]
    assert cells == [
        ["`--version`", "30.0 ms", "`python -c pass`", "10.0 ms", "3.00", "≤ 1.5", "missed"],
        ["polls", "3", "–", "–", "–", "≤ 3", "held"],
        ["the config's part", "4.0 ms", "–", "–", "–", "–", "named"],
    ]
    in_readme = [line.strip("| ").split(" | ") for line in in_markdown(rows).splitlines()[2:]]
    assert in_readme == [[*cells[0][:-1], "**missed**"], *cells[1:]]


@pytest.mark.parametrize("size", [70, 1000, 10_000, 300_000])
def test_a_picture_has_the_size_that_is_wanted_and_is_complete(tmp_path: Path, size: int) -> None:
    write_png(tmp_path / "picture.png", size)
    with (tmp_path / "picture.png").open("rb") as file:
        assert inspect(file).kind == "png"
    assert (tmp_path / "picture.png").stat().st_size == pytest.approx(size, abs=12)


@contextmanager
def stand_in(folder: Path, *seconds: float, rate: float = 0.0) -> Iterator[Service]:
    """The service that measurements have, asked without a socket; tasks take these seconds in turn."""
    lengths = iter(seconds)
    write_png(folder / "image.png", 1000)
    with (folder / "image.png").open("rb") as image:
        yield Service(lambda: next(lengths), rate, progress=False, image=image)


def test_the_stand_in_completes_tasks_in_their_time_and_counts_who_asks(tmp_path: Path) -> None:
    with stand_in(tmp_path, 0.0, 60.0) as service:
        for key in (b"a", b"b", b"b"):
            head = b"POST /v1/images/generations HTTP/1.1\r\nidempotency-key: " + key
            created = service.answer(b"POST", b"/v1/images/generations", head)
        assert b"task_000001" in created
        assert b'"completed"' in service.answer(b"GET", b"/v1/images/status/task_000000", b"")
        assert b'"processing"' in service.answer(b"GET", b"/v1/images/status/task_000001", b"")
        told = json.loads(service.answer(b"GET", b"/measurements", b"").partition(b"\r\n\r\n")[2])
    assert told["requests"] == 5
    assert [(task["seconds"], len(task["polls"])) for task in told["tasks"]] == [(0.0, 1), (60.0, 1)]


def test_the_stand_in_limits_calls_as_it_was_told(tmp_path: Path) -> None:
    with stand_in(tmp_path, 0.0, rate=0.001) as service:
        assert b" 200 " in service.answer(b"POST", b"/v1/images/generations", b"")
        refused = service.answer(b"GET", b"/v1/images/status/task_000000", b"")
        told = json.loads(service.answer(b"GET", b"/measurements", b"").partition(b"\r\n\r\n")[2])
    assert refused.startswith(b"HTTP/1.1 429 ")
    assert b"\r\nRetry-After: 1\r\n" in refused
    assert (told["refused"], told["tasks"][0]["refused"]) == (1, 1)

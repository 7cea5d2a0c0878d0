"""The list of tasks fits its screen, and what is carried on is shown before."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace
from support.program import Program, hint
from support.raw import accepted, answer, success
from support.starting import StartRaw
from support.tasks import operation

from seedream_cli.commands.status import task_lines
from seedream_cli.models import GenerationRequest, Operation, SavedFile
from seedream_cli.output.table import display_width
from seedream_cli.sandbox.server import Sandbox

NOW = 1_800_000_000.0
UUID = "7e1d5c0a-5d0e-4a26-9c3c-0d0f6b1a2c3d"


def made(
    prompt: str = "a red fox", *, age: float = 60, task: str | None = "img_1", path: str = ""
) -> Operation:
    file = SavedFile(1, path, "0" * 64, 1, "image/png", 4, 3)
    return operation(
        Path("/home/ada"),
        created=NOW - age,
        task_id=task,
        status="completed",
        request=GenerationRequest(prompt=prompt),
        files=(file,) if path else (),
    )


def lines(*operations: Operation, width: int | None = 80) -> list[str]:
    return task_lines(operations, width=width, now=NOW, cwd="/home/ada/art")


def test_all_of_it_stands_on_one_line_where_it_fits() -> None:
    found = lines(made(path="/home/ada/art/fox.png"), made("雪中的红狐", age=7200, task="task_12"), width=80)
    assert found == [
        "1 min ago  completed  img_1    a red fox   fox.png",
        "2 h ago    completed  task_12  雪中的红狐",
    ]


@pytest.mark.parametrize("status", ["failed", "refused", "gone"])
def test_where_there_is_nothing_to_come_back_for_it_says_why(status: str) -> None:
    ended = replace(made(path="/home/ada/art/fox.png"), status=status, error_message="content\n policy")
    assert lines(ended, width=80) == [f"1 min ago  {status}  img_1  a red fox  content policy"]
    long = replace(ended, error_message="no picture of this " * 20)
    assert max(display_width(line) for line in lines(long, width=60)) <= 60
    assert "no picture of this" in lines(long, width=80)[-1]


def test_a_second_line_has_the_id_whole_and_the_end_of_the_path() -> None:
    path = "/srv/" + "deep/" * 20 + "fox.png"
    first, second = lines(made("a red fox " * 20, task=UUID, path=path), width=80)
    assert first.startswith("1 min ago  completed  a red fox a red fox")
    assert first.endswith("…")
    assert re.fullmatch(rf"  {UUID}  ….*/fox\.png", second)
    assert max(display_width(first), display_width(second)) <= 80


@pytest.mark.parametrize("width", [20, 40, 60, 80, 100, 132, 200])
@pytest.mark.parametrize("prompt", ["fox", "狐" * 300, "a red fox in snow, " * 30, "a\x1b[31m\nb\u202e"])
def test_no_line_is_wider_than_the_screen(width: int, prompt: str) -> None:
    found = lines(made(prompt, path="/home/ada/art/" + "x" * 90 + ".png"), made(task=None), width=width)
    assert all(display_width(line) <= width for line in found)
    assert not set("\x1b\n\u202e") & set("".join(found))


def test_a_time_is_relative_for_a_day() -> None:
    assert lines(made(age=86399))[0].startswith("23 h ago")
    assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d  completed", lines(made(age=86401))[0])
    assert re.match(r"\d{4}-\d\d-\d\d", lines(made(age=-60))[0]), "a clock that was set back"


class TestWhatIsCarriedOnIsShownBefore:
    def test_by_a_download_of_all_that_is_pending(self, seedream: Program, sandbox: Sandbox) -> None:
        one = seedream("generate", "a red\nfox " + "x" * 60, "--no-wait", "-o", "one.png").stdout.strip()
        two = seedream("generate", "two", "--no-wait").stdout.strip()
        done = seedream("download", "--pending")
        first, second, third, *_ = done.stderr.splitlines()
        assert first.startswith("2 ")
        assert re.fullmatch(rf"{one} · \d+ s ago · a red fox x+… · to one\.png", second)
        assert re.fullmatch(rf"{two} · \d+ s ago · two · to two-{two}\.{{ext}}", third)
        assert seedream("download", "--pending", "-q").stderr == ""

    def test_by_resuming_the_last(self, seedream: Program, start_raw: StartRaw) -> None:
        busy = answer(503, {}, headers={"Retry-After": "3600"})
        server = start_raw(busy, accepted("task_1"), success({"status": "queued"}))
        seedream.use(server.base_url)
        seedream("generate", "a fox")
        done = seedream("generate", "--resume", "last", "--no-wait")
        assert done.exit_code == 0
        first = done.stderr.splitlines()[0]
        assert re.fullmatch(r"op_\w{8} · \d+ s ago · a fox · to \./", first)
        assert "--pending" not in done.stderr

    def test_by_resuming_the_last_of_several(self, seedream: Program, sandbox: Sandbox) -> None:
        seedream("generate", "a fox", "--no-wait", "-n", "3")
        said = seedream("generate", "--resume", "last").stderr.splitlines()
        assert said[1].startswith("2 ")
        assert said[1].endswith(" seedream download --pending")
        said = seedream("generate", "--resume", "last").stderr.splitlines()
        assert said[1].startswith("1 ")
        assert "--pending" not in seedream("generate", "--resume", "last").stderr

    def test_with_the_place_that_the_call_names(self, seedream: Program, sandbox: Sandbox) -> None:
        seedream("generate", "a fox", "--no-wait", "-o", "fox.png")
        done = seedream("download", "--pending", "-o", "art/{slug}.{ext}")
        assert done.stderr.splitlines()[1].endswith("to art/a-fox.{ext}")
        seedream("generate", "a fox", "--no-wait", "-o", "fox.png")
        done = seedream("generate", "--resume", "last", "-o", "other.png")
        assert done.stderr.splitlines()[0].endswith("to other.png")

    def test_with_what_had_no_answer_and_may_be_paid_for(
        self, seedream: Program, start_raw: StartRaw
    ) -> None:
        server = start_raw(answer(503, {}, headers={"Retry-After": "3600"}))
        seedream.use(server.base_url)
        lost = hint(seedream("generate", "a fox", "-o", "fox.png"))
        first, second = seedream("download", "--pending").stderr.splitlines()
        assert first.startswith("0 ")
        assert second.startswith(lost[-1])
        assert second.endswith(" ".join([" seedream", *lost]))
        with closing(sqlite3.connect(seedream.state / "history.sqlite3")) as database, database:
            database.execute("UPDATE operations SET created = created - 8 * 86400")
        assert lost[-1] not in seedream("download", "--pending").stderr

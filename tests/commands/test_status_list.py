"""`seedream status` without a task: the list of recent operations, and its layout on a terminal."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from msgspec.structs import replace
from support.program import Program
from support.starting import StartSandbox
from support.tasks import operation

from seedream_cli.commands.status import task_lines
from seedream_cli.models import GenerationRequest, Operation, SavedFile
from seedream_cli.output.table import display_width
from seedream_cli.sandbox.server import Sandbox

NOW = 1_800_000_000.0
UUID = "7e1d5c0a-5d0e-4a26-9c3c-0d0f6b1a2c3d"


def operation_of(
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


def test_task_lines_are_one_line_each_if_all_fit() -> None:
    printed = lines(
        operation_of(path="/home/ada/art/fox.png"),
        operation_of("雪中的红狐", age=7200, task="task_12"),
        width=80,
    )
    assert printed == [
        "1 min ago  completed  img_1    a red fox   fox.png",
        "2 h ago    completed  task_12  雪中的红狐",
    ]


@pytest.mark.parametrize("status", ["failed", "refused", "gone"])
def test_task_lines_of_a_final_state_end_with_the_error(status: str) -> None:
    ended = replace(
        operation_of(path="/home/ada/art/fox.png"), status=status, error_message="content\n policy"
    )
    assert lines(ended, width=80) == [f"1 min ago  {status}  img_1  a red fox  content policy"]
    long = replace(ended, error_message="no picture of this " * 20)
    assert max(display_width(line) for line in lines(long, width=60)) <= 60
    assert "no picture of this" in lines(long, width=80)[-1]


def test_task_lines_second_line_has_the_whole_id_and_the_end_of_the_path() -> None:
    path = "/srv/" + "deep/" * 20 + "fox.png"
    first, second = lines(operation_of("a red fox " * 20, task=UUID, path=path), width=80)
    assert first.startswith("1 min ago  completed  a red fox a red fox")
    assert first.endswith("…")
    assert re.fullmatch(rf"  {UUID}  ….*/fox\.png", second)
    assert max(display_width(first), display_width(second)) <= 80


@pytest.mark.parametrize("width", [20, 40, 60, 80, 100, 132, 200])
@pytest.mark.parametrize("prompt", ["fox", "狐" * 300, "a red fox in snow, " * 30, "a\x1b[31m\nb\u202e"])
def test_task_lines_are_never_wider_than_the_terminal(width: int, prompt: str) -> None:
    printed = lines(
        operation_of(prompt, path="/home/ada/art/" + "x" * 90 + ".png"), operation_of(task=None), width=width
    )
    assert all(display_width(line) <= width for line in printed)
    assert not set("\x1b\n\u202e") & set("".join(printed))


def test_task_lines_have_relative_times_for_a_day() -> None:
    assert lines(operation_of(age=86399))[0].startswith("23 h ago")
    assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d  completed", lines(operation_of(age=86401))[0])
    assert re.match(r"\d{4}-\d\d-\d\d", lines(operation_of(age=-60))[0]), "the clock was set back"


class TestStatusList:
    def test_list_without_history_is_empty(self, seedream: Program, sandbox: Sandbox) -> None:
        done = seedream("status")
        assert (done.exit_code, done.stdout) == (0, "")
        assert done.stderr

    def test_list_needs_neither_key_nor_network(self, seedream: Program, sandbox: Sandbox) -> None:
        seedream("generate", "A red fox", "-o", "fox.png")
        before = len(sandbox.requests)
        del seedream.environment["SEEDREAM_API_KEY"]
        [line] = seedream("status").stdout.splitlines()
        assert line.split("\t")[2:] == ["completed", "A red fox", str(seedream.cwd / "fox.png")]
        assert len(sandbox.requests) == before

    def test_list_limit_keeps_the_newest(self, seedream: Program, sandbox: Sandbox) -> None:
        for prompt in ("one", "two", "three"):
            seedream("generate", prompt, "--no-wait")
        prompts = [line.split("\t")[3] for line in seedream("status", "--limit", "2").stdout.splitlines()]
        assert prompts == ["three", "two"]

    def test_list_suggests_a_known_state(self, seedream: Program, sandbox: Sandbox) -> None:
        done = seedream("status", "--state", "COMPLETE")
        assert (done.exit_code, done.stdout) == (0, "")
        assert "'completed'" in done.stderr
        assert "'" not in seedream("status", "--state", "Failed").stderr
        assert seedream("status", "--state", "").exit_code == 2

    def test_list_treats_all_sandboxes_as_one_service(
        self, seedream: Program, start_sandbox: StartSandbox
    ) -> None:
        seedream.use(start_sandbox().base_url)
        seedream("generate", "here", "--no-wait")
        seedream.use(start_sandbox().base_url)
        assert "here" in seedream("status").stdout
        assert "here" in seedream("status", "--sandbox").stdout

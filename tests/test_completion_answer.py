"""`seedream completion --list`: candidates from the table and from local files, and never an error."""

from __future__ import annotations

import os
import shlex
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from completion.lines import STATIC
from support.program import Program, Result
from support.raw import RawServer, answer
from support.tasks import operation

from seedream_cli import config, settings
from seedream_cli.completion.answer import candidates
from seedream_cli.history import History
from seedream_cli.models import GenerationRequest, Status
from seedream_cli.sandbox.server import Sandbox
from seedream_cli.services import DEFAULT_BASE_URL, SANDBOX_SERVICE


def asked(seedream: Program, typed: str) -> list[list[str]]:
    """Return the rows of the answer for a line that is typed after `seedream`."""
    words, _, current = typed.rpartition(" ")
    done = seedream("completion", f"--list={current}", "--", *words.split())
    assert (done.exit_code, done.stderr) == (0, "")
    return [line.split("\t") for line in done.stdout.splitlines()]


@pytest.mark.parametrize("typed", STATIC)
def test_static_values_come_from_the_table(typed: str) -> None:
    words, _, current = typed.rpartition(" ")
    found = [word for word, _ in candidates(current, shlex.split(words)[1:])]
    assert [word for word in found if word.startswith(current)] == STATIC[typed]


def test_a_candidate_has_a_description(seedream: Program) -> None:
    assert ["16:9", "thumbnails, banners"] in asked(seedream, "generate -a ")
    assert ["--aspect-ratio=16:9", "thumbnails, banners"] in asked(seedream, "generate --aspect-ratio=1")
    assert ["generate", "Generate an image: submit the prompt, wait for the task, save the result"] in asked(
        seedream, ""
    )


def test_a_quote_at_the_cursor_is_ignored(seedream: Program) -> None:
    assert ["--aspect-ratio", "The aspect ratio (default 1:1)"] in asked(seedream, "generate '--asp")


@pytest.mark.parametrize(
    ("typed", "prefix"),
    [
        ("generate -o fo", ""),
        ("generate --output=fo", "--output="),
        ("generate --output='a", "--output="),
        ("generate -ofo", "-o"),
        ("generate --prompt-file ", ""),
        ("generate -i ", ""),
        ("sync ", ""),
        ("config set output ", ""),
        ("config set api_key_file ", ""),
        ("status --api-key-file=", "--api-key-file="),
    ],
)
def test_paths_are_left_to_the_shell(seedream: Program, typed: str, prefix: str) -> None:
    assert asked(seedream, typed) == [[":files", prefix]]


@pytest.fixture
def history(seedream: Program) -> Iterator[History]:
    with closing(History(seedream.state / "history.sqlite3", now=lambda: 0.0)) as opened:
        yield opened


def record(history: History, number: int, service: str = DEFAULT_BASE_URL, **values: Any) -> None:
    values.setdefault("request", GenerationRequest(prompt=f"fox {number}"))
    values |= {"id": f"op_{number:08}", "service": service, "created": 1e9 + number}
    history.record(operation(history.path.parent, **values))


def test_tasks_are_the_newest_first_each_with_its_state_and_prompt(
    seedream: Program, history: History
) -> None:
    record(history, 1, task_id="img_1", status=Status.COMPLETED)
    record(history, 2)
    record(history, 3, task_id="img_3", status="processing")
    assert asked(seedream, "status ") == [
        ["img_3", "processing: fox 3"],
        ["op_00000002", "unanswered: fox 2"],
        ["img_1", "completed: fox 1"],
    ]


def test_what_can_be_resumed_is_what_is_not_done(seedream: Program, history: History) -> None:
    record(history, 1, task_id="img_1", status=Status.COMPLETED, delivered="-")
    assert asked(seedream, "generate --resume ") == []
    record(history, 2)
    record(history, 3, task_id="img_3", status="processing")
    names = [name for name, _ in asked(seedream, "generate --resume ")]
    assert names == ["last", "img_3", "op_00000002"]


def test_real_tasks_are_found_where_the_program_keeps_them(seedream: Program, sandbox: Sandbox) -> None:
    task = seedream("generate", "雪中的红狐", "--no-wait").stdout.strip()
    assert asked(seedream, "status ") == [[task, "pending: 雪中的红狐"]]
    seedream("download", task)
    assert asked(seedream, "status ") == [[task, "completed: 雪中的红狐"]]


def test_what_is_on_the_line_is_not_offered_again(seedream: Program, history: History) -> None:
    for number in range(3):
        record(history, number, task_id=f"img_{number}")
    assert [name for name, _ in asked(seedream, "download img_2 'img_0' ")] == ["img_1"]


@pytest.mark.parametrize(
    ("words", "environment", "expected"),
    [
        ((), {}, "default"),
        (("--sandbox",), {}, "sandbox"),
        (("--base-url", "https://other.example/v1"), {}, "other"),
        (("--base-url=https://other.example/v1",), {}, "other"),
        (("'--base-url=https://other.example/v1'",), {}, "other"),
        ((), {"SEEDREAM_BASE_URL": "https://other.example/v1"}, "other"),
        ((), {"SEEDREAM_BASE_URL": "http://127.0.0.1:8765/sandbox/v1"}, "sandbox"),
        (("--profile", "work"), {}, "work"),
        ((), {"SEEDREAM_PROFILE": "work"}, "work"),
        (("--profile", "nobody"), {}, None),
        (("--base-url", "nonsense"), {}, None),
    ],
)
def test_only_tasks_of_the_service_that_is_meant(
    seedream: Program,
    history: History,
    words: tuple[str, ...],
    environment: dict[str, str],
    expected: str | None,
) -> None:
    services = {
        "default": DEFAULT_BASE_URL,
        "sandbox": SANDBOX_SERVICE,
        "other": "https://other.example/v1",
        "work": "https://work.example/v1",
    }
    for number, (name, service) in enumerate(services.items()):
        record(history, number, service, task_id=f"img_{name}")
    seedream("config", "set", "base_url", "https://work.example/v1", "--profile", "work")
    seedream.environment |= environment
    found = [name for name, _ in asked(seedream, " ".join(("status", *words, "")))]
    assert found == ([f"img_{expected}"] if expected else [])


def test_the_default_service_is_called_as_settings_call_it() -> None:
    assert config.service_of(str(settings.KEYS["base_url"].default)) == DEFAULT_BASE_URL


@pytest.mark.parametrize("task_id", ["$(reboot)", "a b", "-rf", "a;b", "`x`", "a\nb", "é", "a/b", ""])
def test_an_id_that_a_shell_could_obey_is_not_offered(
    seedream: Program, history: History, task_id: str
) -> None:
    record(history, 1, task_id=task_id)
    record(history, 2, task_id="563d1f90-c153.a_B")
    assert asked(seedream, "status ") == [["563d1f90-c153.a_B", "unanswered: fox 2"]]


def test_a_prompt_does_nothing_to_the_terminal(seedream: Program, history: History) -> None:
    prompt = "a\x1b]0;x\x07\r\n\tb\u202e" + "w" * 500
    record(history, 1, task_id="img_1", request=GenerationRequest(prompt=prompt))
    [[_, shown]] = asked(seedream, "status ")
    assert shown.startswith("unanswered: a ]0;x b w")
    assert shown.isprintable()
    assert len(shown) < 60


def test_a_request_that_is_no_json_is_no_obstacle(seedream: Program, history: History) -> None:
    record(history, 1, task_id="img_1")
    with closing(sqlite3.connect(history.path, isolation_level=None)) as db:
        db.execute("UPDATE operations SET request = '{'")
    assert asked(seedream, "status ") == [["img_1", "unanswered"]]


def test_asking_leaves_nothing_behind(seedream: Program) -> None:
    assert asked(seedream, "status ") == []
    assert not seedream.state.exists()
    History(seedream.state / "history.sqlite3", now=lambda: 0.0).close()
    before = sorted(seedream.state.iterdir())
    assert asked(seedream, "status ") == []
    assert sorted(seedream.state.iterdir()) == before


def test_another_program_that_writes_is_not_waited_for(seedream: Program, history: History) -> None:
    record(history, 1, task_id="img_1")
    with closing(sqlite3.connect(history.path, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        assert asked(seedream, "status ") == [["img_1", "unanswered: fox 1"]]


def test_profiles_are_told_with_what_is_in_them(seedream: Program) -> None:
    for profile, key in (("my work", "quality"), ("default", "quality"), ("my work", "model")):
        seedream("config", "set", key, "2K", "--profile", profile)
    assert asked(seedream, "status --profile ") == [["my work", "model, quality"], ["default", "in use"]]
    seedream.config.write_text('profile = "my work"\n' + seedream.config.read_text())
    assert asked(seedream, "status --profile ") == [["my work", "in use"], ["default", "quality"]]


def test_styles_are_those_of_the_user_and_of_the_project(seedream: Program) -> None:
    seedream.config.parent.mkdir(parents=True)
    seedream.config.write_text('[styles]\nfilm = "35mm film"\nink = "ink wash"\n')
    (seedream.cwd / "seedream.toml").write_text('[styles]\nink = "flat icons"\n')
    assert asked(seedream, "generate --style ") == [["film", "35mm film"], ["ink", "flat icons"]]


def test_assets_are_those_of_the_manifest(seedream: Program) -> None:
    assert asked(seedream, "sync --only ") == []
    (seedream.cwd / "seedream.toml").write_text(
        '[assets.fox]\nprompt = "a fox"\n[assets.owl]\nprompt_file = "o"'
    )
    assert asked(seedream, "sync --only ") == [["fox", "a fox"], ["owl", ""]]
    assert asked(seedream, "sync --only fox --only ") == [["owl", ""]]
    (seedream.cwd / "folder").mkdir()
    (seedream.cwd / "folder" / "seedream.toml").write_text('[assets."snow owl"]\nprompt = "an owl"\n')
    assert asked(seedream, "sync folder --only ") == [["snow owl", "an owl"]]
    assert asked(seedream, "sync folder/seedream.toml --only=") == [["--only=snow owl", "an owl"]]


def broken_toml(seedream: Program) -> None:
    seedream.config.write_text("profiles = [")


def no_table(seedream: Program) -> None:
    seedream.config.write_text("profiles = 3\nstyles = 4\n")


def no_text(seedream: Program) -> None:
    seedream.config.write_bytes(b"\xff\xfe")


def no_history(seedream: Program) -> None:
    (seedream.state / "history.sqlite3").write_bytes(b"nothing of the kind")


def another_schema(seedream: Program) -> None:
    (seedream.state / "history.sqlite3").unlink()
    with closing(sqlite3.connect(seedream.state / "history.sqlite3")) as db:
        db.execute("CREATE TABLE operations (id TEXT)")


def a_folder(seedream: Program) -> None:
    for file in (seedream.config, seedream.state / "history.sqlite3"):
        file.unlink()
        file.mkdir()


@pytest.mark.parametrize("damage", [broken_toml, no_table, no_text, no_history, another_schema, a_folder])
@pytest.mark.parametrize("typed", ["status ", "status --profile "])
def test_an_unreadable_file_is_not_an_error(
    seedream: Program, damage: Callable[[Program], None], typed: str
) -> None:
    seedream.config.parent.mkdir(parents=True)
    seedream.config.touch()
    seedream.state.mkdir(parents=True)
    (seedream.state / "history.sqlite3").touch()
    damage(seedream)
    assert asked(seedream, typed) == []


@pytest.mark.parametrize(
    "typed", ["nonsense x --y=", "config set nonsense ", "config nonsense x --profile", "status -- -- --"]
)
def test_whatever_is_typed_is_not_an_error(seedream: Program, typed: str) -> None:
    asked(seedream, typed)


@pytest.mark.parametrize("words", [["--list="], ["--list=x", "--"], ["--list==", "a", "b"]])
def test_whatever_a_script_asks_is_not_an_error(seedream: Program, words: list[str]) -> None:
    done = seedream("completion", *words)
    assert (done.exit_code, done.stderr) == (0, "")


@pytest.mark.parametrize("end", ["| true", ">&-", "> /dev/full"])
def test_whoever_reads_it_there_is_no_complaint(seedream: Program, history: History, end: str) -> None:
    if "full" in end and not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    record(history, 1, task_id="img_1")
    done: Result = seedream.shell(f"seedream completion --list= -- status {end}; echo ${{PIPESTATUS[0]}}")
    assert (done.stdout, done.stderr) == ("0\n", "")


def test_nothing_is_sent(seedream: Program, history: History, start_raw: Callable[..., RawServer]) -> None:
    server = start_raw(answer(200, {}))
    seedream.use(server.base_url)
    record(history, 1, config.service_of(server.base_url), task_id="img_1")
    assert [name for name, _ in asked(seedream, "status ")] == ["img_1"]
    assert server.requests == []


def test_the_installed_command_answers_too(seedream: Program, history: History) -> None:
    record(history, 1, task_id="img_1")
    done = subprocess.run(
        [Path(sys.executable).parent / "seedream", "completion", "--list=", "--", "status"],
        env=seedream.environment | {"LC_ALL": "C", "PATH": os.environ["PATH"]},
        capture_output=True,
        check=True,
    )
    assert done.stdout == b"img_1\tunanswered: fox 1\n"


@pytest.mark.skipif(os.name != "posix", reason="named pipes are POSIX here")
def test_a_manifest_that_is_a_pipe_keeps_no_shell_waiting(seedream: Program) -> None:
    os.mkfifo(seedream.cwd / "pipe")
    done = seedream.shell("timeout 5 seedream completion --list= -- sync pipe --only")
    assert (done.exit_code, done.stdout, done.stderr) == (0, "", "")

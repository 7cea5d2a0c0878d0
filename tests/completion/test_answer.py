"""`seedream completion --list`: candidates from the table and from local files, without errors."""

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

from seedream_cli.completion.answer import candidates
from seedream_cli.history.store import History
from seedream_cli.models import GenerationRequest, TaskStatus
from seedream_cli.sandbox.server import Sandbox
from seedream_cli.settings import resolve, schema
from seedream_cli.settings.locations import DEFAULT_BASE_URL, SANDBOX_SERVICE


def complete(seedream: Program, typed: str) -> list[list[str]]:
    """Return the rows that are printed for a command line after `seedream`."""
    words, _, current = typed.rpartition(" ")
    done = seedream("completion", f"--list={current}", "--", *words.split())
    assert (done.exit_code, done.stderr) == (0, "")
    return [line.split("\t") for line in done.stdout.splitlines()]


@pytest.mark.parametrize("typed", STATIC)
def test_candidates_of_static_values(typed: str) -> None:
    words, _, current = typed.rpartition(" ")
    found = [word for word, _ in candidates(current, shlex.split(words)[1:])]
    assert [word for word in found if word.startswith(current)] == STATIC[typed]


def test_candidates_have_descriptions(seedream: Program) -> None:
    assert ["16:9", "thumbnails, banners"] in complete(seedream, "generate -a ")
    assert ["--aspect-ratio=16:9", "thumbnails, banners"] in complete(seedream, "generate --aspect-ratio=1")
    generate = "Generate an image: submit the prompt, wait for the task, save the result"
    assert ["generate", generate] in complete(seedream, "")
    # A quote at the cursor is ignored.
    assert ["--aspect-ratio", "The aspect ratio (default 1:1)"] in complete(seedream, "generate '--asp")


def test_paths_are_left_to_the_shell(seedream: Program) -> None:
    whole = ("generate -o fo", "generate --prompt-file ", "generate -i ", "sync ", "config set output ")
    for typed in (*whole, "config set api_key_file "):
        assert complete(seedream, typed) == [[":files", ""]]
    for typed in ("generate --output=fo", "generate --output='a"):
        assert complete(seedream, typed) == [[":files", "--output="]]
    assert complete(seedream, "generate -ofo") == [[":files", "-o"]]
    assert complete(seedream, "status --api-key-file=") == [[":files", "--api-key-file="]]


@pytest.fixture
def history(seedream: Program) -> Iterator[History]:
    with closing(History(seedream.state / "history.sqlite3", now=lambda: 0.0)) as opened:
        yield opened


def record(history: History, number: int, service: str = DEFAULT_BASE_URL, **values: Any) -> None:
    values.setdefault("request", GenerationRequest(prompt=f"fox {number}"))
    values |= {"id": f"op_{number:08}", "service": service, "created": 1e9 + number}
    history.record(operation(history.path.parent, **values))


def test_tasks_are_offered_newest_first_with_state_and_prompt(seedream: Program, history: History) -> None:
    record(history, 1, task_id="img_1", status=TaskStatus.COMPLETED, delivered="-")
    assert complete(seedream, "generate --resume ") == []
    record(history, 2)
    record(history, 3, task_id="img_3", status="processing")
    assert complete(seedream, "status ") == [
        ["img_3", "processing: fox 3"],
        ["op_00000002", "unanswered: fox 2"],
        ["img_1", "completed: fox 1"],
    ]
    # Only unfinished operations can be resumed. Ids that are on the line are not offered again.
    assert [name for name, _ in complete(seedream, "generate --resume ")] == ["last", "img_3", "op_00000002"]
    assert [name for name, _ in complete(seedream, "download img_3 'op_00000002' ")] == ["img_1"]


def test_tasks_of_the_program_are_offered(seedream: Program, sandbox: Sandbox) -> None:
    task = seedream("generate", "雪中的红狐", "--no-wait").stdout.strip()
    assert complete(seedream, "status ") == [[task, "pending: 雪中的红狐"]]
    seedream("download", task)
    assert complete(seedream, "status ") == [[task, "completed: 雪中的红狐"]]


OTHER = "https://other.example/v1"


@pytest.mark.parametrize(
    ("words", "environment", "expected"),
    [
        ((), {}, ["img_default"]),
        (("--sandbox",), {}, ["img_sandbox"]),
        (("--base-url", OTHER), {}, ["img_other"]),
        ((f"'--base-url={OTHER}'",), {}, ["img_other"]),
        ((), {"SEEDREAM_BASE_URL": OTHER}, ["img_other"]),
        ((), {"SEEDREAM_BASE_URL": "http://127.0.0.1:8765/sandbox/v1"}, ["img_sandbox"]),
        (("--profile", "work"), {}, ["img_work"]),
        ((), {"SEEDREAM_PROFILE": "work"}, ["img_work"]),
        (("--profile", "nobody"), {}, []),
        (("--base-url", "nonsense"), {}, []),
    ],
)
def test_tasks_are_those_of_the_selected_service(
    seedream: Program, history: History, words: Any, environment: dict[str, str], expected: list[str]
) -> None:
    # The constant is the service of the default base_url.
    assert resolve.service_of(str(schema.SETTINGS["base_url"].default)) == DEFAULT_BASE_URL
    work = "https://work.example/v1"
    services = {"default": DEFAULT_BASE_URL, "sandbox": SANDBOX_SERVICE, "other": OTHER, "work": work}
    for number, (name, service) in enumerate(services.items()):
        record(history, number, service, task_id=f"img_{name}")
    seedream("config", "set", "base_url", work, "--profile", "work")
    seedream.environment |= environment
    assert [name for name, _ in complete(seedream, " ".join(("status", *words, "")))] == expected


def test_task_ids_with_shell_characters_are_not_offered(seedream: Program, history: History) -> None:
    for number, task_id in enumerate(["$(reboot)", "a b", "-rf", "a;b", "`x`", "a\nb", "é", "a/b", ""]):
        record(history, number, task_id=task_id)
    record(history, 20, task_id="563d1f90-c153.a_B")
    assert complete(seedream, "status ") == [["563d1f90-c153.a_B", "unanswered: fox 20"]]


def test_control_characters_of_a_prompt_are_removed(seedream: Program, history: History) -> None:
    prompt = "a\x1b]0;x\x07\r\n\tb\u202e" + "w" * 500
    record(history, 1, task_id="img_1", request=GenerationRequest(prompt=prompt))
    [[_, shown]] = complete(seedream, "status ")
    assert shown.startswith("unanswered: a ]0;x b w")
    assert shown.isprintable()
    assert len(shown) < 60


def test_tasks_are_offered_while_another_process_writes(seedream: Program, history: History) -> None:
    record(history, 1, task_id="img_1")
    with closing(sqlite3.connect(history.path, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        assert complete(seedream, "status ") == [["img_1", "unanswered: fox 1"]]
        # A request that is not JSON is ignored.
        db.execute("UPDATE operations SET request = '{'")
        db.execute("COMMIT")
    assert complete(seedream, "status ") == [["img_1", "unanswered"]]


def test_completion_creates_no_files(seedream: Program) -> None:
    assert complete(seedream, "status ") == []
    assert not seedream.state.exists()
    History(seedream.state / "history.sqlite3", now=lambda: 0.0).close()
    before = sorted(seedream.state.iterdir())
    assert complete(seedream, "status ") == []
    assert sorted(seedream.state.iterdir()) == before


def test_profiles_are_offered_with_their_settings(seedream: Program) -> None:
    for profile, key in (("my work", "quality"), ("default", "quality"), ("my work", "model")):
        seedream("config", "set", key, "2K", "--profile", profile)
    assert complete(seedream, "status --profile ") == [["my work", "model, quality"], ["default", "in use"]]
    seedream.write_config('profile = "my work"\n' + seedream.config.read_text())
    assert complete(seedream, "status --profile ") == [["my work", "in use"], ["default", "quality"]]


def test_styles_of_user_and_project_are_offered(seedream: Program) -> None:
    seedream.write_config('[styles]\nfilm = "35mm film"\nink = "ink wash"\n')
    (seedream.cwd / "seedream.toml").write_text('[styles]\nink = "flat icons"\n')
    assert complete(seedream, "generate --style ") == [["film", "35mm film"], ["ink", "flat icons"]]


def test_assets_of_the_manifest_are_offered(seedream: Program) -> None:
    assert complete(seedream, "sync --only ") == []
    (seedream.cwd / "seedream.toml").write_text(
        '[assets.fox]\nprompt = "a fox"\n[assets.owl]\nprompt_file = "o"'
    )
    assert complete(seedream, "sync --only ") == [["fox", "a fox"], ["owl", ""]]
    assert complete(seedream, "sync --only fox --only ") == [["owl", ""]]
    (seedream.cwd / "folder").mkdir()
    (seedream.cwd / "folder" / "seedream.toml").write_text('[assets."snow owl"]\nprompt = "an owl"\n')
    assert complete(seedream, "sync folder --only ") == [["snow owl", "an owl"]]
    assert complete(seedream, "sync folder/seedream.toml --only=") == [["--only=snow owl", "an owl"]]


@pytest.mark.parametrize("content", [b"styles = [", b"profiles = 3\nstyles = 4", b"\xff\xfe", None, "schema"])
def test_unreadable_files_are_not_an_error(seedream: Program, content: bytes | str | None) -> None:
    """Config file and history have these bytes, or are folders (None), or the history has another schema."""
    history_file = seedream.state / "history.sqlite3"
    for file in (seedream.config, history_file):
        file.parent.mkdir(parents=True)
        if isinstance(content, bytes):
            file.write_bytes(content)
        elif content is None:
            file.mkdir()
    if content == "schema":
        with closing(sqlite3.connect(history_file)) as db:
            db.execute("CREATE TABLE operations (id TEXT)")
    for typed in ("status ", "status --profile "):
        assert complete(seedream, typed) == []


def test_invalid_command_lines_are_not_an_error(seedream: Program) -> None:
    for typed in ("x --y=", "config set nonsense ", "config nonsense x --profile", "status -- -- --"):
        complete(seedream, typed)
    for words in (["--list="], ["--list=x", "--"], ["--list==", "a", "b"]):
        done = seedream("completion", *words)
        assert (done.exit_code, done.stderr) == (0, "")


@pytest.mark.parametrize("end", ["| true", ">&-", "> /dev/full"])
def test_closed_or_full_stdout_is_not_an_error(seedream: Program, history: History, end: str) -> None:
    if "full" in end and not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    record(history, 1, task_id="img_1")
    done: Result = seedream.shell(f"seedream completion --list= -- status {end}; echo ${{PIPESTATUS[0]}}")
    assert (done.stdout, done.stderr) == ("0\n", "")


def test_completion_sends_no_request(
    seedream: Program, history: History, start_raw: Callable[..., RawServer]
) -> None:
    server = start_raw(answer(200, {}))
    seedream.use(server.base_url)
    record(history, 1, resolve.service_of(server.base_url), task_id="img_1")
    assert [name for name, _ in complete(seedream, "status ")] == ["img_1"]
    assert server.requests == []


def test_installed_command_completes(seedream: Program, history: History) -> None:
    record(history, 1, task_id="img_1")
    done = subprocess.run(
        [Path(sys.executable).parent / "seedream", "completion", "--list=", "--", "status"],
        env=seedream.environment | {"LC_ALL": "C", "PATH": os.environ["PATH"]},
        capture_output=True,
        check=True,
    )
    assert done.stdout == b"img_1\tunanswered: fox 1\n"


@pytest.mark.skipif(os.name != "posix", reason="named pipes are POSIX here")
def test_manifest_that_is_a_pipe_does_not_block(seedream: Program) -> None:
    os.mkfifo(seedream.cwd / "pipe")
    done = seedream.shell("timeout 5 seedream completion --list= -- sync pipe --only")
    assert (done.exit_code, done.stdout, done.stderr) == (0, "", "")

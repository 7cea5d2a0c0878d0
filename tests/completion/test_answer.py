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

from seedream_cli.completion.answer import candidates
from seedream_cli.history.store import History
from seedream_cli.models import GenerationRequest, TaskStatus
from seedream_cli.sandbox.server import Sandbox
from seedream_cli.settings import resolve as config
from seedream_cli.settings import schema as settings
from seedream_cli.settings.locations import DEFAULT_BASE_URL, SANDBOX_SERVICE


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
    generate = "Generate an image: submit the prompt, wait for the task, save the result"
    assert ["generate", generate] in asked(seedream, "")
    # A quote at the cursor is ignored.
    assert ["--aspect-ratio", "The aspect ratio (default 1:1)"] in asked(seedream, "generate '--asp")


def test_paths_are_left_to_the_shell(seedream: Program) -> None:
    whole = ("generate -o fo", "generate --prompt-file ", "generate -i ", "sync ", "config set output ")
    for typed in (*whole, "config set api_key_file "):
        assert asked(seedream, typed) == [[":files", ""]]
    for typed in ("generate --output=fo", "generate --output='a"):
        assert asked(seedream, typed) == [[":files", "--output="]]
    assert asked(seedream, "generate -ofo") == [[":files", "-o"]]
    assert asked(seedream, "status --api-key-file=") == [[":files", "--api-key-file="]]


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
    record(history, 1, task_id="img_1", status=TaskStatus.COMPLETED, delivered="-")
    assert asked(seedream, "generate --resume ") == []
    record(history, 2)
    record(history, 3, task_id="img_3", status="processing")
    assert asked(seedream, "status ") == [
        ["img_3", "processing: fox 3"],
        ["op_00000002", "unanswered: fox 2"],
        ["img_1", "completed: fox 1"],
    ]
    # What can be resumed is what is not done, and what is on the line is not offered again.
    assert [name for name, _ in asked(seedream, "generate --resume ")] == ["last", "img_3", "op_00000002"]
    assert [name for name, _ in asked(seedream, "download img_3 'op_00000002' ")] == ["img_1"]


def test_real_tasks_are_found_where_the_program_keeps_them(seedream: Program, sandbox: Sandbox) -> None:
    task = seedream("generate", "雪中的红狐", "--no-wait").stdout.strip()
    assert asked(seedream, "status ") == [[task, "pending: 雪中的红狐"]]
    seedream("download", task)
    assert asked(seedream, "status ") == [[task, "completed: 雪中的红狐"]]


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
def test_only_tasks_of_the_service_that_is_meant(
    seedream: Program, history: History, words: Any, environment: dict[str, str], expected: list[str]
) -> None:
    # The default service is called as settings call it.
    assert config.service_of(str(settings.SETTINGS["base_url"].default)) == DEFAULT_BASE_URL
    work = "https://work.example/v1"
    services = {"default": DEFAULT_BASE_URL, "sandbox": SANDBOX_SERVICE, "other": OTHER, "work": work}
    for number, (name, service) in enumerate(services.items()):
        record(history, number, service, task_id=f"img_{name}")
    seedream("config", "set", "base_url", work, "--profile", "work")
    seedream.environment |= environment
    assert [name for name, _ in asked(seedream, " ".join(("status", *words, "")))] == expected


def test_an_id_that_a_shell_could_obey_is_not_offered(seedream: Program, history: History) -> None:
    for number, task_id in enumerate(["$(reboot)", "a b", "-rf", "a;b", "`x`", "a\nb", "é", "a/b", ""]):
        record(history, number, task_id=task_id)
    record(history, 20, task_id="563d1f90-c153.a_B")
    assert asked(seedream, "status ") == [["563d1f90-c153.a_B", "unanswered: fox 20"]]


def test_a_prompt_does_nothing_to_the_terminal(seedream: Program, history: History) -> None:
    prompt = "a\x1b]0;x\x07\r\n\tb\u202e" + "w" * 500
    record(history, 1, task_id="img_1", request=GenerationRequest(prompt=prompt))
    [[_, shown]] = asked(seedream, "status ")
    assert shown.startswith("unanswered: a ]0;x b w")
    assert shown.isprintable()
    assert len(shown) < 60


def test_another_program_that_writes_is_not_waited_for(seedream: Program, history: History) -> None:
    record(history, 1, task_id="img_1")
    with closing(sqlite3.connect(history.path, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        assert asked(seedream, "status ") == [["img_1", "unanswered: fox 1"]]
        # A request that is not JSON does not stop it.
        db.execute("UPDATE operations SET request = '{'")
        db.execute("COMMIT")
    assert asked(seedream, "status ") == [["img_1", "unanswered"]]


def test_asking_leaves_nothing_behind(seedream: Program) -> None:
    assert asked(seedream, "status ") == []
    assert not seedream.state.exists()
    History(seedream.state / "history.sqlite3", now=lambda: 0.0).close()
    before = sorted(seedream.state.iterdir())
    assert asked(seedream, "status ") == []
    assert sorted(seedream.state.iterdir()) == before


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


@pytest.mark.parametrize("content", [b"styles = [", b"profiles = 3\nstyles = 4", b"\xff\xfe", None, "schema"])
def test_an_unreadable_file_is_not_an_error(seedream: Program, content: bytes | str | None) -> None:
    """Neither config nor history, of these bytes or a folder; nor a history of another schema."""
    kept = seedream.state / "history.sqlite3"
    for file in (seedream.config, kept):
        file.parent.mkdir(parents=True)
        if isinstance(content, bytes):
            file.write_bytes(content)
        elif content is None:
            file.mkdir()
    if content == "schema":
        with closing(sqlite3.connect(kept)) as db:
            db.execute("CREATE TABLE operations (id TEXT)")
    for typed in ("status ", "status --profile "):
        assert asked(seedream, typed) == []


def test_whatever_is_typed_or_asked_is_not_an_error(seedream: Program) -> None:
    for typed in ("x --y=", "config set nonsense ", "config nonsense x --profile", "status -- -- --"):
        asked(seedream, typed)
    for words in (["--list="], ["--list=x", "--"], ["--list==", "a", "b"]):
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

"""`generate --resume`: a request whose answer never came is sent again, and nothing is paid twice."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing

import pytest
from support.images import png
from support.program import Program, Result, hint
from support.raw import accepted
from support.starting import StartRaw, StartSandbox

from seedream_cli.sandbox.server import Sandbox

EIGHT_DAYS = 8 * 86400


@pytest.fixture
def unanswered(seedream: Program, start_sandbox: StartSandbox) -> tuple[str, Sandbox]:
    """An operation whose create was put off for an hour, at a sandbox that takes it the next time."""
    sandbox = start_sandbox(faults=["submit-429-long=1"])
    seedream.use(sandbox.base_url)
    done = seedream("generate", "fox", "-o", "fox.png", "-a", "16:9")
    assert done.exit_code == 7
    command, option, operation = hint(done)
    assert (command, option) == ("generate", "--resume")
    return operation, sandbox


Lost = tuple[str, Sandbox]


def make_older(seedream: Program, seconds: float) -> None:
    with closing(sqlite3.connect(seedream.state / "history.sqlite3")) as database, database:
        database.execute("UPDATE operations SET created = created - ?", (seconds,))


def keys(sandbox: Sandbox) -> list[str]:
    return [one.headers["idempotency-key"] for one in sandbox.requests if one.method == "POST"]


@pytest.mark.parametrize("by", ["its id", "last"])
def test_resume_sends_same_key_and_body(seedream: Program, unanswered: Lost, by: str) -> None:
    operation, sandbox = unanswered
    # A setting moves nothing.
    env = {"SEEDREAM_OUTPUT": "elsewhere/"}
    done = seedream("generate", "--resume", operation if by == "its id" else "last", env=env)
    assert (done.exit_code, done.paths) == (0, [str(seedream.cwd / "fox.png")])
    assert (seedream.cwd / "fox.png").read_bytes() == png()
    first, second = [one for one in sandbox.requests if one.method == "POST"]
    assert first.body == second.body
    assert len(set(keys(sandbox))) == 1
    assert sandbox.task_count() == 1


def test_resume_of_accepted_create_gets_same_task(
    seedream: Program, forked: Callable[..., Result], start_sandbox: StartSandbox
) -> None:
    """Every answer is lost, so that the budget ends; the task has been there since the first attempt."""
    sandbox = start_sandbox(faults=["submit-drop=5"])
    seedream.use(sandbox.base_url)
    lost = forked("generate", "fox", "-o", "fox.png")
    assert lost.exit_code == 7
    assert sandbox.task_count() == 1
    assert seedream(*hint(lost)).exit_code == 0
    assert sandbox.task_count() == 1


def test_resume_of_running_task_waits_and_sends_nothing(seedream: Program, sandbox: Sandbox) -> None:
    task = seedream("generate", "fox", "-o", "fox.png", "--no-wait").stdout.strip()
    assert seedream("generate", "--resume", task).paths == [str(seedream.cwd / "fox.png")]
    assert len(keys(sandbox)) == 1


class TestResumeRefusesWhatCouldPayAgain:
    def test_expired_idempotency_key(self, seedream: Program, unanswered: Lost) -> None:
        operation, sandbox = unanswered
        make_older(seedream, EIGHT_DAYS)
        done = seedream("generate", "--resume", operation)
        assert done.exit_code == 2
        # `last` passes over what the service has forgotten, and a clock may have been set back.
        assert seedream("generate", "--resume", "last").exit_code == 2
        make_older(seedream, -2 * EIGHT_DAYS)
        assert seedream("generate", "--resume", operation).exit_code == 2
        assert len(keys(sandbox)) == 1
        assert seedream(*hint(done)).exit_code == 0
        assert len(set(keys(sandbox))) == 2

    def test_other_api_key(self, seedream: Program, unanswered: Lost) -> None:
        operation, sandbox = unanswered
        other = {"SEEDREAM_API_KEY": "sk-another-0123456789"}
        done = seedream("generate", "--resume", operation, env=other)
        assert done.exit_code == 2
        assert len(keys(sandbox)) == 1
        assert seedream(*hint(done), env=other).exit_code == 0

    def test_refused_request(self, seedream: Program, start_sandbox: StartSandbox) -> None:
        sandbox = start_sandbox(faults=["submit-400=1"])
        seedream.use(sandbox.base_url)
        assert seedream("generate", "fox").exit_code == 2
        operation = seedream("status").stdout.split("\t")[1]
        done = seedream("generate", "--resume", operation)
        assert done.exit_code == 2
        assert len(keys(sandbox)) == 1
        assert seedream("generate", "--resume", "last").exit_code == 2

    @pytest.mark.parametrize(
        "arguments",
        [
            *(["fox"], ["-a", "1:1"], ["-m", "seedream-v4.5"], ["--quality", "2K"], ["--prompt-file", "x"]),
            *(["--details", "x"], ["--style", "x"], ["-i", "a.png"], ["--dry-run"], ["--skip-existing"]),
        ],
    )
    def test_options_that_change_the_request(
        self, seedream: Program, unanswered: Lost, arguments: list[str]
    ) -> None:
        operation, sandbox = unanswered
        assert seedream("generate", "--resume", operation, *arguments).exit_code == 2
        assert len(keys(sandbox)) == 1


def test_resume_of_operation_of_other_service(
    seedream: Program, unanswered: Lost, start_raw: StartRaw
) -> None:
    operation, _ = unanswered
    other = start_raw(accepted())
    done = seedream("generate", "--resume", operation, env={"SEEDREAM_BASE_URL": other.base_url})
    assert done.exit_code == 2
    assert other.requests == []


def test_resume_with_new_key_can_be_resumed_again(
    seedream: Program, forked: Callable[..., Result], start_sandbox: StartSandbox
) -> None:
    """Refused, sent again under a new key, and that answer lost: the new key is what is resumed."""
    sandbox = start_sandbox(faults=["submit-402=1", "submit-drop=5"])
    seedream.use(sandbox.base_url)
    assert seedream("generate", "fox", "-o", "fox.png").exit_code == 5
    operation = seedream("status").stdout.split("\t")[1]
    lost = forked("generate", "--resume", operation, "--new-key")
    assert lost.exit_code == 7
    assert hint(lost) == ["generate", "--resume", operation]
    assert seedream("generate", "--resume", "last").exit_code == 0
    assert sandbox.task_count() == 1


def test_resume_with_no_wait_prints_task_id(seedream: Program, sandbox: Sandbox) -> None:
    task = seedream("generate", "fox", "--no-wait").stdout
    done = seedream("generate", "--resume", "last", "--no-wait")
    assert (done.exit_code, done.stdout, list(seedream.cwd.iterdir())) == (0, task, [])
    # Another key would pay for it again.
    assert seedream("generate", "--resume", task.strip(), "--new-key").exit_code == 2
    done = seedream("generate", "--resume", "last", "-o", "-", "--no-wait")
    assert (done.exit_code, done.stdout) == (2, "")
    assert sandbox.task_count() == 1


def test_resume_checks_output_before_sending(seedream: Program, unanswered: Lost) -> None:
    operation, sandbox = unanswered
    (seedream.cwd / "mine.png").write_text("mine")
    assert seedream("generate", "--resume", operation, "-o", "mine.png").exit_code == 2
    assert seedream("generate", "--resume", operation, "-o", "mine.png/x.png").exit_code == 2
    assert len(keys(sandbox)) == 1


def test_resume_with_output_is_recorded(seedream: Program, start_sandbox: StartSandbox) -> None:
    seedream.use(start_sandbox(faults=["no-result-yet=3"]).base_url)
    task = seedream("generate", "fox", "-o", "old.png", "--no-wait").stdout.strip()
    waiting = seedream(
        "generate", "--resume", task, "-o", "new.png", "--timeout", "0", "--poll-interval", "5"
    )
    assert waiting.exit_code == 8
    assert seedream(*hint(waiting)).paths == [str(seedream.cwd / "new.png")]

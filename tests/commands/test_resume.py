"""`generate --resume`: sends a request without a response again, and never pays twice."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing

import pytest
from support.create_requests import create_requests, idempotency_keys
from support.images import png
from support.program import Program, Result, hint
from support.raw import accepted
from support.starting import StartRaw, StartSandbox

from seedream_cli.sandbox.server import Sandbox

EIGHT_DAYS = 8 * 86400


@pytest.fixture
def unanswered(seedream: Program, start_sandbox: StartSandbox) -> tuple[str, Sandbox]:
    """An operation that was rate limited for an hour, and a sandbox that accepts the next request."""
    sandbox = start_sandbox(faults=["submit-429-long=1"])
    seedream.use(sandbox.base_url)
    done = seedream("generate", "fox", "-o", "fox.png", "-a", "16:9")
    assert done.exit_code == 7
    command, option, operation = hint(done)
    assert (command, option) == ("generate", "--resume")
    return operation, sandbox


Unanswered = tuple[str, Sandbox]


def make_older(seedream: Program, seconds: float) -> None:
    with closing(sqlite3.connect(seedream.state / "history.sqlite3")) as database, database:
        database.execute("UPDATE operations SET created = created - ?", (seconds,))


@pytest.mark.parametrize("name", ["id", "last"])
def test_resume_sends_same_key_and_body(seedream: Program, unanswered: Unanswered, name: str) -> None:
    operation, sandbox = unanswered
    # A setting does not override the output of the operation.
    env = {"SEEDREAM_OUTPUT": "elsewhere/"}
    done = seedream("generate", "--resume", operation if name == "id" else "last", env=env)
    assert (done.exit_code, done.paths) == (0, [str(seedream.cwd / "fox.png")])
    assert (seedream.cwd / "fox.png").read_bytes() == png()
    first, second = create_requests(sandbox)
    assert first.body == second.body
    assert len(set(idempotency_keys(sandbox))) == 1
    assert sandbox.task_count() == 1


def test_resume_of_accepted_create_gets_same_task(
    seedream: Program, forked: Callable[..., Result], start_sandbox: StartSandbox
) -> None:
    """Every response is lost until the retries end, but the first attempt has created the task."""
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
    assert len(idempotency_keys(sandbox)) == 1


class TestResumeRefusesToPayTwice:
    def test_expired_idempotency_key(self, seedream: Program, unanswered: Unanswered) -> None:
        operation, sandbox = unanswered
        make_older(seedream, EIGHT_DAYS)
        done = seedream("generate", "--resume", operation)
        assert done.exit_code == 2
        # `last` ignores operations with an expired key. A creation time in the future is refused too.
        assert seedream("generate", "--resume", "last").exit_code == 2
        make_older(seedream, -2 * EIGHT_DAYS)
        assert seedream("generate", "--resume", operation).exit_code == 2
        assert len(idempotency_keys(sandbox)) == 1
        assert seedream(*hint(done)).exit_code == 0
        assert len(set(idempotency_keys(sandbox))) == 2

    def test_other_api_key(self, seedream: Program, unanswered: Unanswered) -> None:
        operation, sandbox = unanswered
        other = {"SEEDREAM_API_KEY": "sk-another-0123456789"}
        done = seedream("generate", "--resume", operation, env=other)
        assert done.exit_code == 2
        assert len(idempotency_keys(sandbox)) == 1
        assert seedream(*hint(done), env=other).exit_code == 0

    def test_refused_request(self, seedream: Program, start_sandbox: StartSandbox) -> None:
        sandbox = start_sandbox(faults=["submit-400=1"])
        seedream.use(sandbox.base_url)
        assert seedream("generate", "fox").exit_code == 2
        operation = seedream("status").stdout.split("\t")[1]
        done = seedream("generate", "--resume", operation)
        assert done.exit_code == 2
        assert len(idempotency_keys(sandbox)) == 1
        assert seedream("generate", "--resume", "last").exit_code == 2

    @pytest.mark.parametrize(
        "arguments",
        [
            *(["fox"], ["-a", "1:1"], ["-m", "seedream-v4.5"], ["--quality", "2K"], ["--prompt-file", "x"]),
            *(["--details", "x"], ["--style", "x"], ["-i", "a.png"], ["--dry-run"], ["--skip-existing"]),
        ],
    )
    def test_options_that_change_request(
        self, seedream: Program, unanswered: Unanswered, arguments: list[str]
    ) -> None:
        operation, sandbox = unanswered
        assert seedream("generate", "--resume", operation, *arguments).exit_code == 2
        assert len(idempotency_keys(sandbox)) == 1


def test_resume_of_operation_of_other_service(
    seedream: Program, unanswered: Unanswered, start_raw: StartRaw
) -> None:
    operation, _ = unanswered
    other = start_raw(accepted())
    done = seedream("generate", "--resume", operation, env={"SEEDREAM_BASE_URL": other.base_url})
    assert done.exit_code == 2
    assert other.requests == []


def test_resume_with_new_key_can_be_resumed_again(
    seedream: Program, forked: Callable[..., Result], start_sandbox: StartSandbox
) -> None:
    """The response to the request with the new key is lost: resuming sends the new key again."""
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
    # A new key would pay for the task again.
    assert seedream("generate", "--resume", task.strip(), "--new-key").exit_code == 2
    done = seedream("generate", "--resume", "last", "-o", "-", "--no-wait")
    assert (done.exit_code, done.stdout) == (2, "")
    assert sandbox.task_count() == 1


def test_resume_checks_output_before_sending(seedream: Program, unanswered: Unanswered) -> None:
    operation, sandbox = unanswered
    (seedream.cwd / "mine.png").write_text("mine")
    assert seedream("generate", "--resume", operation, "-o", "mine.png").exit_code == 2
    assert seedream("generate", "--resume", operation, "-o", "mine.png/x.png").exit_code == 2
    assert len(idempotency_keys(sandbox)) == 1


def test_resume_with_output_is_recorded(seedream: Program, start_sandbox: StartSandbox) -> None:
    seedream.use(start_sandbox(faults=["no-result-yet=3"]).base_url)
    task = seedream("generate", "fox", "-o", "old.png", "--no-wait").stdout.strip()
    waiting = seedream(
        "generate", "--resume", task, "-o", "new.png", "--timeout", "0", "--poll-interval", "5"
    )
    assert waiting.exit_code == 8
    assert seedream(*hint(waiting)).paths == [str(seedream.cwd / "new.png")]

"""Exit codes, each produced by a run of the program."""

from __future__ import annotations

import errno
import shlex
from unittest.mock import Mock

import pytest
from support.images import png
from support.program import Program, hint
from support.project import Project
from support.raw import accepted, answer, success
from support.starting import StartRaw, StartSandbox

from seedream_cli.errors import ExitCode
from seedream_cli.sandbox.server import Sandbox

pytestmark = pytest.mark.usefixtures("no_pauses")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (LookupError("a bug, a.file"), ExitCode.ERROR),
        (FileNotFoundError(errno.ENOENT, "a bug", "a.file"), ExitCode.ERROR),
        (OSError(errno.EMFILE, "not a bug", "a.file"), ExitCode.NOT_SAVED),
    ],
)
def test_exit_1_for_bug_and_9_for_system_error(
    seedream: Program, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, error: Exception, code: ExitCode
) -> None:
    monkeypatch.setattr("uuid.uuid4", Mock(side_effect=error))
    done = seedream("generate", "fox")
    assert done.exit_code == code
    assert "a.file" in done.stderr
    assert "Traceback" not in done.stderr
    assert ("--verbose" in done.stderr) is (code == ExitCode.ERROR)
    assert "Traceback" in seedream("generate", "fox", "--verbose").stderr
    assert seedream("generate", "fox", "--json").document["error"]["exit_code"] == code
    assert sandbox.requests == []


def test_exit_2_for_deleted_current_folder(seedream: Program, sandbox: Sandbox) -> None:
    gone = seedream.cwd / "gone"
    gone.mkdir()
    done = seedream.shell(f'cd "{gone}" && rmdir "{gone}" && seedream generate fox')
    assert done.exit_code == ExitCode.USAGE
    assert "current folder" in done.stderr


@pytest.mark.parametrize("dialect", ["seed", "live"])
@pytest.mark.parametrize(
    ("fault", "key", "code", "message"),
    [
        ("submit-400", "", ExitCode.USAGE, "error: "),
        ("submit-409", "", ExitCode.USAGE, "error: "),
        ("task-failed", "", ExitCode.TASK_FAILED, "error: "),
        ("task-cancelled", "", ExitCode.TASK_FAILED, "error: "),
        ("task-rejected", "", ExitCode.TASK_FAILED, "error: "),
        ("", "-invalid", ExitCode.AUTHENTICATION, "seedream config set api_key"),
        ("", "-forbidden", ExitCode.AUTHENTICATION, "seedream config set api_key"),
        ("", "-empty", ExitCode.QUOTA, "error: "),
        ("submit-404", "", ExitCode.NOT_FOUND, "error: "),
    ],
)
def test_exit_code_of_refusal_without_retry(
    seedream: Program,
    start_sandbox: StartSandbox,
    dialect: str,
    fault: str,
    key: str,
    code: ExitCode,
    message: str,
) -> None:
    sandbox = start_sandbox(dialect=dialect, faults=[fault] if fault else [])
    seedream.use(sandbox.base_url, key=f"sk-0123456789{key}")
    done = seedream("generate", "fox")
    assert done.exit_code == code
    assert message in done.stderr
    assert [request.method for request in sandbox.requests].count("POST") == 1
    assert list(seedream.cwd.iterdir()) == []
    assert fault.removeprefix("task-") in seedream("status").stdout or "refused" in seedream("status").stdout


def test_exit_7_for_retry_after_beyond_timeout(seedream: Program, start_sandbox: StartSandbox) -> None:
    seedream.use(start_sandbox(faults=["submit-429-long=1"]).base_url)
    done = seedream("generate", "fox")
    assert done.exit_code == ExitCode.UNAVAILABLE
    assert "come back in 3600 s, at 20" in done.stderr
    assert seedream(*hint(done)).exit_code == 0


def test_exit_7_for_unreachable_service(seedream: Program, start_raw: StartRaw) -> None:
    server = start_raw(None)
    seedream.use(server.base_url)
    server.__exit__(None, None, None)
    done = seedream("generate", "fox")
    assert done.exit_code == ExitCode.UNAVAILABLE
    assert hint(done)[:2] == ["generate", "--resume"]


def test_exit_7_for_redirecting_api(seedream: Program, start_raw: StartRaw) -> None:
    other_host = start_raw(accepted())
    server = start_raw(answer(307, headers={"Location": f"{other_host.origin}/v1/images/generations"}))
    seedream.use(server.base_url)
    done = seedream("generate", "fox")
    assert done.exit_code == ExitCode.UNAVAILABLE
    assert "127.0.0.1" in done.stderr
    assert other_host.requests == []


def test_exit_8_for_pending_task(seedream: Program, start_sandbox: StartSandbox) -> None:
    sandbox = start_sandbox(seconds=0.5)
    seedream.use(sandbox.base_url)
    # The response to the only poll may take as long as the interval.
    done = seedream("generate", "fox", "-o", "fox.png", "--timeout", "0", "--poll-interval", "5")
    assert done.exit_code == ExitCode.PENDING
    assert seedream(*hint(done)).exit_code == 0
    assert (seedream.cwd / "fox.png").exists()
    assert sandbox.task_count() == 1


def test_exit_9_for_image_that_cannot_be_downloaded(seedream: Program, start_sandbox: StartSandbox) -> None:
    seedream.use(start_sandbox(faults=["image-404=2"]).base_url)
    done = seedream("generate", "fox", "-o", "fox.png")
    assert done.exit_code == ExitCode.NOT_SAVED
    assert list(seedream.cwd.iterdir()) == []
    assert seedream(*hint(done)).exit_code == 0
    assert (seedream.cwd / "fox.png").read_bytes() == png()


@pytest.mark.parametrize("left", ["new", "edited", "orphan"])
def test_exit_10_for_drift_and_hint_resolves_it(seedream: Program, sandbox: Sandbox, left: str) -> None:
    project = Project(seedream, seedream.cwd)
    project.write('[assets.fox]\nprompt = "a fox"\n[assets.owl]\nprompt = "an owl"\n')
    project.settle()
    if left == "new":
        project.replace("an owl", 'a new owl"\n[assets.wolf]\nprompt = "a wolf')
    elif left == "edited":
        (project.folder / "owl.png").write_bytes(png(shade=200))
    else:
        project.write('[assets.fox]\nprompt = "a fox"\n')
    done = project("--check", "--json")
    assert done.exit_code == ExitCode.DRIFT
    # A modified file needs a decision by the user, which the hint of `sync` explains.
    for _ in range(2 if left == "edited" else 1):
        words = shlex.split(done.document["error"]["hint"])
        done = seedream(*words[1:], "--json")
    assert done.exit_code == ExitCode.OK
    assert project("--check").exit_code == ExitCode.OK


def test_hint_repeats_options_of_service(seedream: Program, start_raw: StartRaw) -> None:
    server = start_raw(accepted("-t 1"), success({"status": "queued"}))
    (seedream.cwd / "key").write_text("sk-0123456789\n")
    chosen = ["--base-url", server.base_url, "--api-key-file", "key"]
    done = seedream("generate", "fox", "--timeout", "0", "--poll-interval", "5", *chosen)
    assert done.exit_code == ExitCode.PENDING
    assert hint(done) == ["download", *chosen, "--", "-t 1"]
    assert (
        seedream(*hint(done), env={"SEEDREAM_TIMEOUT": "0", "SEEDREAM_POLL_INTERVAL": "5"}).exit_code
        == ExitCode.PENDING
    )
    assert server.requests[-1].path == "/v1/images/status/-t%201"

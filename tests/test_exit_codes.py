"""Every error has an exit code and a machine code; each exit code is produced by a run of the program."""

from __future__ import annotations

import errno
import pkgutil
import re
import shlex
from collections import Counter
from collections.abc import Iterator
from importlib import import_module
from unittest.mock import Mock

import pytest
from support.images import png
from support.program import Program, hint
from support.project import Project
from support.raw import accepted, answer, success
from support.starting import StartRaw, StartSandbox

import seedream_cli
from seedream_cli import errors
from seedream_cli.errors import PRECEDENCE, ExitCode, SeedreamError
from seedream_cli.sandbox.server import Sandbox

pytestmark = pytest.mark.usefixtures("no_pauses")

#: A line of the tree in the docstring of errors.py: indentation, name, exit codes in brackets, text.
_TREE_LINE = re.compile(r"((?:│   |    )*(?:[├└]── )?)(\w+)(?: \(([\d, ]+)\))?(?: {2,}\S.*)?")

#: Machine codes that several errors share, because a script would treat those errors alike.
SHARED_CODES = {
    "error": {"SeedreamError"},
    "usage": {"UsageError", "InvalidFile"},
    "invalid_request": {"InvalidRequest", "RequestRefused"},
    "keyring_unusable": {"KeyringError", "KeyringUnusable"},
    "invalid_api_key": {"AuthenticationError", "KeyRefused"},
}


def error_classes(base: type[SeedreamError] = SeedreamError) -> Iterator[type[SeedreamError]]:
    yield base
    for error in base.__subclasses__():
        yield from error_classes(error)


def test_error_classes_are_all_drawn_in_the_tree_of_errors() -> None:
    """Errors are defined in errors.py only, and its docstring shows each below its base class."""
    for module in pkgutil.walk_packages(seedream_cli.__path__, "seedream_cli."):
        if not module.name.endswith("__main__"):
            import_module(module.name)
    path: list[str] = []
    drawn: dict[str, tuple[str | None, list[int] | None]] = {}
    for line in (errors.__doc__ or "").split("\n\n")[2].splitlines():
        found = _TREE_LINE.fullmatch(line)
        assert found is not None, line
        path[len(found[1]) // 4 :] = [found[2]]
        codes = [int(code) for code in found[3].split(",")] if found[3] else None
        drawn[found[2]] = (path[-2] if len(path) > 1 else None, codes)
    classes = {error.__name__: error for error in error_classes()}
    assert drawn.keys() == classes.keys()
    for name, (base, codes) in drawn.items():
        error = classes[name]
        assert error.__module__ == errors.__name__
        assert base == (error.__bases__[0].__name__ if error is not SeedreamError else None)
        # A subclass has its base's exit code, which is why the tree does not repeat it.
        assert error.exit_code == (codes[0] if codes else classes[base or ""].exit_code)


def test_error_classes_have_a_docstring_and_a_machine_code_of_their_own() -> None:
    classes = list(error_classes())
    assert all(error.__doc__ for error in classes)
    assert all(re.fullmatch(r"[a-z_]+", error.default_code) for error in classes)
    for code, count in Counter(error.default_code for error in classes).items():
        names = {error.__name__ for error in classes if error.default_code == code}
        assert names == SHARED_CODES.get(code, names)
        assert count == 1 or code in SHARED_CODES


def test_exit_codes_all_have_an_error_and_a_precedence() -> None:
    """README's table, which another test compares with ExitCode, thereby covers every error."""
    raised = {error.exit_code for error in error_classes()} | {ExitCode.OK, ExitCode.TERMINATED}
    assert raised == set(ExitCode) == set(PRECEDENCE)
    assert len(PRECEDENCE) == len(ExitCode)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (LookupError("a bug, a.file"), ExitCode.ERROR),
        (FileNotFoundError(errno.ENOENT, "a bug", "a.file"), ExitCode.ERROR),
        (OSError(errno.EMFILE, "not a bug", "a.file"), ExitCode.NOT_SAVED),
    ],
)
def test_exit_code_1_is_a_bug_and_an_exhausted_system_is_9(
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


def test_exit_code_2_current_folder_is_gone(seedream: Program, sandbox: Sandbox) -> None:
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
def test_exit_code_of_each_refusal_comes_without_retries(
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


def test_exit_code_7_retry_after_beyond_the_budget(seedream: Program, start_sandbox: StartSandbox) -> None:
    seedream.use(start_sandbox(faults=["submit-429-long=1"]).base_url)
    done = seedream("generate", "fox")
    assert done.exit_code == ExitCode.UNAVAILABLE
    assert "come back in 3600 s, at 20" in done.stderr
    assert seedream(*hint(done)).exit_code == 0


def test_exit_code_7_nobody_listens(seedream: Program, start_raw: StartRaw) -> None:
    server = start_raw(None)
    seedream.use(server.base_url)
    server.__exit__(None, None, None)
    done = seedream("generate", "fox")
    assert done.exit_code == ExitCode.UNAVAILABLE
    assert hint(done)[:2] == ["generate", "--resume"]


def test_exit_code_7_api_redirects(seedream: Program, start_raw: StartRaw) -> None:
    other_host = start_raw(accepted())
    server = start_raw(answer(307, headers={"Location": f"{other_host.origin}/v1/images/generations"}))
    seedream.use(server.base_url)
    done = seedream("generate", "fox")
    assert done.exit_code == ExitCode.UNAVAILABLE
    assert "127.0.0.1" in done.stderr
    assert other_host.requests == []


def test_exit_code_8_timeout_before_the_task_ends(seedream: Program, start_sandbox: StartSandbox) -> None:
    sandbox = start_sandbox(seconds=0.5)
    seedream.use(sandbox.base_url)
    # The response to the only poll may take as long as the interval.
    done = seedream("generate", "fox", "-o", "fox.png", "--timeout", "0", "--poll-interval", "5")
    assert done.exit_code == ExitCode.PENDING
    assert seedream(*hint(done)).exit_code == 0
    assert (seedream.cwd / "fox.png").exists()
    assert sandbox.task_count() == 1


def test_exit_code_9_image_cannot_be_downloaded(seedream: Program, start_sandbox: StartSandbox) -> None:
    seedream.use(start_sandbox(faults=["image-404=2"]).base_url)
    done = seedream("generate", "fox", "-o", "fox.png")
    assert done.exit_code == ExitCode.NOT_SAVED
    assert list(seedream.cwd.iterdir()) == []
    assert seedream(*hint(done)).exit_code == 0
    assert (seedream.cwd / "fox.png").read_bytes() == png()


@pytest.mark.parametrize("left", ["new", "edited", "orphan"])
def test_exit_code_10_drift_is_settled_by_the_hints(seedream: Program, sandbox: Sandbox, left: str) -> None:
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


def test_hint_repeats_the_options_that_choose_the_service(seedream: Program, start_raw: StartRaw) -> None:
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

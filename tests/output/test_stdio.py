"""Standard streams that are closed, full, redirected, or have another encoding."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from support.program import Program

from seedream_cli.output.stdio import supports_live_display, wants_colour
from seedream_cli.sandbox.server import Sandbox

pytestmark = pytest.mark.slow

GENERATE = 'seedream generate "雪中的红狐" -o fox.png'


@pytest.fixture(autouse=True)
def service(sandbox: Sandbox) -> None:
    """Use a sandbox as the service."""


def test_closed_pipe_does_not_stop_generate(seedream: Program) -> None:
    done = seedream.shell(f"{GENERATE} | true; exit ${{PIPESTATUS[0]}}")
    assert done.exit_code == 0
    assert "Traceback" not in done.stderr
    assert "error" not in done.stderr
    assert (seedream.cwd / "fox.png").is_file()


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_do_not_stop_generate(seedream: Program, closed: str) -> None:
    done = seedream.shell(f"{GENERATE} {closed}")
    assert done.exit_code == 0
    assert "Traceback" not in done.stdout + done.stderr
    image = (seedream.cwd / "fox.png").read_bytes()
    assert image.startswith(b"\x89PNG")
    assert image.endswith(b"IEND\xaeB`\x82"), "no output was written into the image"
    assert not image.count(b"submitting")


@pytest.mark.parametrize("command", ["config list >&-", "config list 2>&-", "--version >&-"])
def test_closed_streams_of_short_commands(seedream: Program, command: str) -> None:
    done = seedream.shell(f"seedream {command}")
    assert (done.exit_code, done.stderr) == (0, "")


@pytest.mark.parametrize("closed", ["2>&-", "2>/dev/full", "2> >(true)"])
def test_exit_code_without_stderr(seedream: Program, closed: str) -> None:
    done = seedream.shell(f"seedream config get nope {closed}")
    assert (done.exit_code, done.stdout, done.stderr) == (2, "", "")


def test_full_stream_does_not_stop_generate(seedream: Program) -> None:
    done = seedream.shell(f"{GENERATE} 2>/dev/full")
    assert (done.exit_code, done.stdout) == (0, "fox.png\n")
    done = seedream.shell(f"{GENERATE} --overwrite >/dev/full")
    assert done.exit_code == 9
    assert "error: stdout cannot be written to: No space left on device" in done.stderr
    assert (seedream.cwd / "fox.png").is_file()


@pytest.mark.parametrize("command", ["--help", "--version", "config get nope --json"])
def test_full_stdout_is_reported_by_every_command(seedream: Program, command: str) -> None:
    done = seedream.shell(f"seedream {command} >/dev/full")
    assert done.exit_code in ((2, 9) if "nope" in command else (9,))
    assert "stdout cannot be written to" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "env",
    [
        {"LC_ALL": "POSIX", "PYTHONIOENCODING": "ascii"},
        {"LANG": "C", "PYTHONIOENCODING": "latin-1:strict"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    ],
    ids=lambda env: "-".join(map("=".join, env.items())),
)
def test_chinese_text_in_any_locale(seedream: Program, env: dict[str, str]) -> None:
    done = seedream("generate", "-", "--json", stdin="雪中的红狐", env=env)
    assert done.exit_code == 0, done.stderr
    assert '"雪中的红狐"' in done.stdout
    [file] = done.document["tasks"][0]["files"]
    assert Path(file["path"]).is_file()
    assert Path(file["path"]).name.startswith("雪中的红狐-img_") or "PYTHONUTF8" in env


def test_ansi_in_pipe_only_if_forced_and_never_on_stdout(
    seedream: Program, seedream_process: Program
) -> None:
    plain = {"NO_COLOR": "1", "FORCE_COLOR": "1", "CLICOLOR_FORCE": "1"}
    # rich reads the environment when it is imported.
    helped, failed = (
        seedream_process("generate", "--help", env=plain),
        seedream("config", "get", "x", env=plain),
    )
    assert "\x1b" not in helped.stdout + helped.stderr + failed.stderr
    forced = {"FORCE_COLOR": "1"}
    assert seedream("config", "set", "nope", "x", env=forced).stderr.startswith("\x1b[1;31merror:\x1b[0m ")
    done = seedream("generate", "a fox", "-o", "fox.png", env=forced)
    assert done.stdout == "fox.png\n"
    assert "\x1b[?25l" not in done.stderr, "nothing is drawn in a pipe"


class FakeTerminal(io.StringIO):
    """Stream that claims to be a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("environment", "colour"),
    [
        ({}, True),
        ({"NO_COLOR": ""}, True),
        ({"NO_COLOR": "0"}, False),
        ({"TERM": "dumb"}, False),
        ({"TERM": "dumb", "FORCE_COLOR": "1"}, True),
        ({"FORCE_COLOR": "0"}, False),
        ({"FORCE_COLOR": "false", "CLICOLOR_FORCE": "1"}, False),
        ({"CLICOLOR_FORCE": "0"}, True),
    ],
)
def test_wants_colour_precedence(environment: dict[str, str], colour: bool) -> None:
    assert wants_colour(FakeTerminal(), environment) is colour


@pytest.mark.parametrize(
    ("environment", "drawn"),
    [
        ({}, True),
        ({"TERM": "dumb"}, False),
        ({"CI": "true"}, False),
        ({"CI": ""}, True),
        ({"NO_COLOR": "1"}, True),
    ],
)
def test_supports_live_display(environment: dict[str, str], drawn: bool) -> None:
    assert supports_live_display(FakeTerminal(), environment) is drawn
    assert not supports_live_display(io.StringIO(), environment)
    assert not supports_live_display(None, environment)

"""Annotations, groups and summaries for GitHub Actions."""

from __future__ import annotations

import signal

import pytest
from support.github import find_annotations, split
from support.program import Program
from support.raw import answer
from support.starting import StartRaw, StartSandbox

from seedream_cli.output.github_actions import MAX_SUMMARY_BYTES, markdown_table
from seedream_cli.sandbox.server import Sandbox

pytestmark = pytest.mark.once


def test_summary_is_below_limit_of_github() -> None:
    rows = [(f"row {number}", "失败" * 150, "", "") for number in range(1500)]
    text = markdown_table(("asset", "state", "size", "cost"), rows, "1500 failed")
    assert MAX_SUMMARY_BYTES * 0.9 < len(text.encode("utf-8")) < 1024 * 1024
    shown = text.count("| row ")
    assert f"and {1500 - shown} more" in text
    assert text.rstrip().endswith("1500 failed")


GITHUB = {"CI": "true", "GITHUB_ACTIONS": "true"}


@pytest.mark.parametrize(
    ("command", "title"),
    [
        (["generate", "fox"], "seedream: authentication"),
        (["generate", "fox", "--json"], "seedream: authentication"),
        (["generate", "", "-q"], "seedream: usage"),
        (["status", "img_1"], "seedream: authentication"),
        (["download", "img_1"], "seedream: authentication"),
        (["sync"], "seedream: usage"),
        (["config", "get", "aspect_ration"], "seedream: usage"),
        (["sandbox", "--fault", "100%, nonsense"], "seedream: usage"),
        (["completion", "tcsh"], "seedream: usage"),
        (["help", "genrate"], "seedream: usage"),
        (["genrate"], "seedream: usage"),
        (["status", "--nonsense"], "seedream: usage"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else value.partition(": ")[2],
)
def test_error_of_every_command_is_annotated(seedream: Program, command: list[str], title: str) -> None:
    done = seedream(*command, env=GITHUB)
    [annotation] = find_annotations(done.stderr)
    first, *rest = split(done.stderr)[0]
    # The annotation has all lines of the error.
    assert annotation.lines == [first.removeprefix("error: "), *(line[2:] for line in rest)]
    assert annotation.properties == {"title": title}
    assert "::" not in done.stdout
    assert find_annotations(seedream(*command).stderr) == []


def test_progress_lines_are_folded(seedream: Program, sandbox: Sandbox) -> None:
    done = seedream("generate", "fox", env=GITHUB)
    unfolded, [first, *rest] = split(done.stderr)
    assert first.startswith("::group::")
    assert len(rest) >= 2
    assert len(unfolded) == 1
    assert "::" not in done.stdout


def test_error_is_outside_of_group(seedream: Program, start_sandbox: StartSandbox) -> None:
    seedream.use(start_sandbox(faults=["task-failed=1"]).base_url)
    tasks = [seedream("generate", name, "--no-wait").stdout.strip() for name in ("fox", "hen")]
    done = seedream("download", *tasks, env=GITHUB)
    unfolded, folded = split(done.stderr)
    assert unfolded[0].startswith(f"error: {tasks[0]} ")
    assert {line.split(": ")[0] for line in folded if not line.startswith("::")} == set(tasks)


def test_group_is_closed_on_ctrl_c(seedream: Program, start_sandbox: StartSandbox) -> None:
    seedream.use(start_sandbox(seconds=60).base_url)
    running = seedream.start("generate", "fox", "--json", env=GITHUB)
    running.wait_for(lambda: ": accepted" in running.stderr)
    done = running.stop(signal.SIGINT)
    unfolded, folded = split(done.stderr)
    assert unfolded[0].startswith("error: ")
    assert folded[0].startswith("::group::")
    assert done.document["error"]["code"] == "stopped"


def test_quiet_and_local_commands_have_no_group(seedream: Program, sandbox: Sandbox) -> None:
    assert seedream("generate", "fox", "-q", env=GITHUB).stderr == ""
    assert split(seedream("config", "set", "quality", "4K", env=GITHUB).stderr)[1] == []
    assert split(seedream("status", env=GITHUB).stderr)[1] == []


def test_server_message_cannot_inject_workflow_command(seedream: Program, start_raw: StartRaw) -> None:
    """Neither in the log nor in the decoded annotation."""
    words = "::stop-commands::x\n::add-mask::100%0A::error::,y\r\n  ::set-output name=a::b\n##[error]z"
    error = {"error": {"message": words, "code": "bad, request:%25"}}
    seedream.use(start_raw(answer(400, error, headers={"X-Request-ID": "::debug::1"})).base_url)
    done = seedream("generate", "fox", "-v", env=GITHUB)
    [annotation] = find_annotations(done.stderr)
    assert any("stop-commands" in line and "100%0A: :error" not in line for line in annotation.lines)
    for line in (*annotation.lines, *split(done.stderr)[0], *split(done.stderr)[1][1:]):
        assert not line.lstrip().startswith("::")
        assert "##[" not in line


class TestMissingKey:
    def test_hint_is_workflow_block(self, seedream: Program) -> None:
        done = seedream("generate", "fox", env=GITHUB)
        lines = split(done.stderr)[0]
        assert lines[1:] == ["  env:", "    SEEDREAM_API_KEY: ${{ secrets.SEEDREAM_API_KEY }}"]
        hint = seedream("generate", "fox", "--json", env=GITHUB).document["error"]["hint"]
        assert hint == "\n".join(line[2:] for line in lines[1:])

    def test_hint_outside_github_is_config_set(self, seedream: Program) -> None:
        for env in ({}, {"CI": "true"}):
            assert seedream("generate", "fox", env=env).stderr.endswith("\n  seedream config set api_key\n")
        file = seedream("generate", "fox", "--api-key-file", "nowhere", env=GITHUB)
        assert len(split(file.stderr)[0]) == 1

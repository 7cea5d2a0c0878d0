"""`generate --details --style`: the joined prompt is sent, checked and printed."""

from __future__ import annotations

import pytest
from support.create_requests import create_bodies
from support.program import Program

from seedream_cli.sandbox.server import Sandbox

STYLES = '[styles]\nink = "brush and ink"\nnoir = "film noir"\n'


def prompt_of(seedream: Program, *arguments: str, stdin: str = "") -> str:
    document = seedream("generate", *arguments, "--dry-run", stdin=stdin).document
    prompt = document["requests"][0]["json"]["prompt"]
    assert isinstance(prompt, str)
    return prompt


def test_prompt_parts_are_joined_and_sent(seedream: Program, sandbox: Sandbox) -> None:
    done = seedream("generate", "a fox", "--style", "35mm film", "--details", "soft light", "--json")
    [create] = create_bodies(sandbox)
    assert create["prompt"] == "a fox, soft light, 35mm film"
    assert done.document["tasks"][0]["prompt"] == create["prompt"]


def test_prompt_parts_with_stdin_and_file(seedream: Program) -> None:
    (seedream.cwd / "prompt.md").write_text("a fox.\n")
    assert prompt_of(seedream, "-", "--details", "soft light", stdin="a fox\n") == "a fox, soft light"
    assert prompt_of(seedream, "--prompt-file", "prompt.md", "--style", "ink 雪") == "a fox. ink 雪"


def test_style_of_project_wins_over_config(seedream: Program) -> None:
    seedream.config.parent.mkdir(parents=True)
    seedream.config.write_text(STYLES)
    assert prompt_of(seedream, "a fox", "--style", "ink") == "a fox, brush and ink"
    (seedream.cwd / "seedream.toml").write_text('[styles]\nink = "in {ink}"\n')
    assert prompt_of(seedream, "a fox", "--style", "ink") == "a fox, in {ink}"
    assert prompt_of(seedream, "a fox", "--style", "noir") == "a fox, film noir"


def test_dry_run_prints_prompt_and_length(seedream: Program) -> None:
    done = seedream("generate", "a fox", "--details", "soft light", "--dry-run")
    assert "a fox, soft light" in done.stderr
    [request] = done.document["requests"]
    assert (request["prompt_characters"], request["prompt_limit"]) == (17, 4000)
    unknown = seedream("generate", "fox", "-m", "seedream-9", "--dry-run")
    assert unknown.document["requests"][0]["prompt_limit"] is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a fox", "--style", "nior"], "'noir'"),
        (["", "--style", "noir"], ""),
        (["a fox", "--details", "x" * 3994], "4001"),
        (["--resume", "last", "--details", "x"], "--resume"),
        (["--style", "noir"], ""),
    ],
)
def test_prompt_parts_refused(
    seedream: Program, sandbox: Sandbox, arguments: list[str], message: str
) -> None:
    (seedream.cwd / "seedream.toml").write_text(STYLES)
    done = seedream("generate", *arguments)
    assert done.exit_code == 2
    assert message in done.stderr
    assert sandbox.requests == []

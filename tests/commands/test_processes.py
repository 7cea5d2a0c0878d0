"""Each command as a real process. Most other tests of commands run it inside the test process."""

from __future__ import annotations

import signal

import pytest
from support.program import Program

import seedream_cli
from seedream_cli.sandbox.server import Sandbox

pytestmark = [pytest.mark.started, pytest.mark.slow]


def test_processes_of_commands_with_service(seedream: Program, sandbox: Sandbox) -> None:
    (seedream.cwd / "seedream.toml").write_text('[assets.hen]\nprompt = "a hen"\n')
    task = seedream("generate", "-", "--no-wait", stdin="a fox").stdout.strip()
    assert seedream("status", task).stdout.startswith(f"{task}\tcompleted")
    assert seedream("download", task, "-o", "fox.png").paths == ["fox.png"]
    assert seedream("generate", "an owl", "-o", "owl.png").paths == ["owl.png"]
    assert seedream("sync").paths == ["hen.png"]
    assert seedream("config", "check").exit_code == 0
    assert sandbox.task_count() == 3
    assert seedream("status", "task_nope", "--json").document["error"]["exit_code"] == 6


@pytest.mark.parametrize(
    ("arguments", "exit_code", "expected"),
    [
        *((["--version"], 0, seedream_cli.__version__), (["--help"], 0, "generate")),
        *((["help", "sync"], 0, "seedream sync"), (["completion", "bash"], 0, "seedream")),
        *((["config", "list"], 0, "aspect_ratio"), (["sync"], 2, ""), (["generate", "a fox"], 4, "")),
        (["genrate"], 2, ""),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_processes_of_commands_without_service(
    seedream: Program, arguments: list[str], exit_code: int, expected: str
) -> None:
    done = seedream(*arguments)
    assert done.exit_code == exit_code
    assert expected in done.stdout
    assert bool(done.stderr) is (exit_code != 0)


def test_process_of_sandbox_server(seedream: Program) -> None:
    running = seedream.start("sandbox")
    running.wait_for(lambda: running.stdout.endswith("\n") and running.stderr.endswith("\n"))
    assert running.stop(signal.SIGTERM).exit_code == 143

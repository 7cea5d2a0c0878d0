"""`seedream sandbox`: the fake API as a server, and the one embedded by --sandbox."""

from __future__ import annotations

import signal

import pytest
from support.program import Program

from seedream_cli.sandbox.faults import FAULTS


def test_sandbox_prints_its_base_url_on_stdout_and_requests_on_stderr(seedream: Program) -> None:
    running = seedream.start("sandbox", "--port", "0", "--seconds", "0.1")
    running.wait_for(lambda: running.stdout.endswith("\n"))
    seedream.use(running.stdout.strip())
    assert seedream("generate", "fox", "-o", "fox.png").exit_code == 0
    running.wait_for(lambda: "/results/" in running.stderr)
    stopped = running.stop(signal.SIGINT)
    assert stopped.exit_code == 130
    assert len(stopped.stdout.splitlines()) == 1
    assert "POST /sandbox/v1/images/generations 200" in stopped.stderr
    assert "signature" not in stopped.stderr
    assert "sk-test" not in stopped.stderr


def test_sandbox_prints_one_document_and_stops_without_an_error(seedream: Program) -> None:
    running = seedream.start("sandbox", "--json")
    running.wait_for(lambda: running.stdout.endswith("}\n") and running.stderr.endswith("\n"))
    stopped = running.stop(signal.SIGINT)
    assert stopped.document["base_url"].startswith("http://127.0.0.1:")
    assert (stopped.exit_code, stopped.document["error"]) == (130, None)
    assert "error:" not in stopped.stderr


@pytest.mark.parametrize("dialect", ["seed", "live"])
def test_embedded_sandbox_has_both_dialects(seedream: Program, dialect: str) -> None:
    env = {"SEEDREAM_SANDBOX_DIALECT": dialect}
    [task] = seedream("generate", "fox", "--sandbox", "--json", env=env).document["tasks"]
    assert task["status"] == "completed"
    assert task["cost"] == (None if dialect == "seed" else "0.035")


def test_sandbox_help_lists_all_faults(seedream: Program) -> None:
    shown = seedream("sandbox", "--help").stdout
    for name in FAULTS:
        assert f"{name}:" in shown


@pytest.mark.parametrize(
    "arguments",
    [
        *(["--fault", "sumbit-429"], ["--fault", "submit-429=x"], ["--dialect", "klingon"]),
        *(["--port", "70000"], ["--seconds", "-1"]),
    ],
)
def test_sandbox_rejects_invalid_options(seedream: Program, arguments: list[str]) -> None:
    done = seedream("sandbox", *arguments)
    assert (done.exit_code, done.stdout) == (2, "")


def test_sandbox_rejects_a_port_in_use(seedream: Program) -> None:
    running = seedream.start("sandbox")
    running.wait_for(lambda: running.stdout.endswith("\n"))
    assert running.stdout.startswith("http://127.0.0.1:")
    port = running.stdout.split(":")[2].split("/")[0]
    done = seedream("sandbox", "--port", port)
    assert done.exit_code == 2
    stopped = running.stop(signal.SIGTERM)
    assert stopped.exit_code == 143
    assert "Traceback" not in stopped.stderr

"""Signals end any wait at once, leave no temporary file, and print the command that resumes the task."""

from __future__ import annotations

import signal
import sqlite3
import threading
import time
from contextlib import closing

import pytest
from support.images import png
from support.program import Program, Running, hint
from support.raw import Exchange, accepted, success
from support.starting import StartRaw, StartSandbox

from seedream_cli.sandbox.server import Sandbox

pytestmark = pytest.mark.slow

SIGNALS = [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 143)]


@pytest.fixture
def waiting(seedream: Program, start_sandbox: StartSandbox) -> tuple[Running, Sandbox]:
    """A process that waits for a task of 0.3 seconds, with its next poll in 30 seconds."""
    sandbox = start_sandbox(seconds=0.3)
    seedream.use(sandbox.base_url)
    running = seedream.start("generate", "fox", "-o", "art/fox.png", "--poll-interval", "30")
    running.wait_for(sandbox.task_count)
    running.wait_for(lambda: "accepted" in running.stderr)
    return running, sandbox


@pytest.mark.parametrize(("number", "exit_code"), SIGNALS)
def test_signal_while_polling_prints_resume_command(
    seedream: Program, waiting: tuple[Running, Sandbox], number: signal.Signals, exit_code: int
) -> None:
    running, sandbox = waiting
    stopped = running.stop(number)
    assert stopped.exit_code == exit_code
    assert stopped.stdout == ""
    assert "Traceback" not in stopped.stderr
    assert list((seedream.cwd / "art").iterdir()) == []
    finished = seedream(*hint(stopped))
    assert finished.exit_code == 0, finished.stderr
    assert (seedream.cwd / "art" / "fox.png").read_bytes() == png()
    assert sandbox.task_count() == 1


@pytest.mark.parametrize(("number", "exit_code"), SIGNALS)
def test_signal_while_submitting_prints_resume_command(
    seedream: Program, start_raw: StartRaw, number: signal.Signals, exit_code: int
) -> None:
    received = threading.Event()

    def never(exchange: Exchange) -> None:
        received.set()
        exchange.closed.wait(30)

    server = start_raw(never, accepted("task_1"), success({"status": "queued"}))
    seedream.use(server.base_url)
    running = seedream.start("generate", "fox")
    running.wait_for(received.is_set)
    stopped = running.stop(number)
    assert stopped.exit_code == exit_code
    assert hint(stopped)[:2] == ["generate", "--resume"]
    assert seedream(*hint(stopped), "--no-wait").stdout == "task_1\n"
    first, second = server.requests[:2]
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"]
    assert first.body == second.body


def test_signal_while_downloading_leaves_no_partial_file(seedream: Program, start_raw: StartRaw) -> None:
    half = threading.Event()

    def slowly(exchange: Exchange) -> None:
        exchange.connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + png())
        half.set()
        exchange.closed.wait(30)

    image = start_raw(slowly, lambda exchange: None)
    seedream.use(start_raw(accepted(), success({"status": "completed", "result": [image.origin]})).base_url)
    running = seedream.start("generate", "fox", "-o", "fox.png")
    running.wait_for(half.is_set)
    running.wait_for(lambda: [*seedream.cwd.glob(".seedream-*.part")])
    stopped = running.stop(signal.SIGTERM)
    assert stopped.exit_code == 143
    assert hint(stopped) == ["download", "task_1"]
    assert list(seedream.cwd.iterdir()) == []


def test_signal_ignored_by_caller_stays_ignored(seedream: Program, start_sandbox: StartSandbox) -> None:
    sandbox = start_sandbox(seconds=0.5)
    seedream.use(sandbox.base_url)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        running = seedream.start("generate", "fox", "-o", "fox.png")
    finally:
        signal.signal(signal.SIGINT, before)
    running.wait_for(sandbox.task_count)
    assert running.stop(signal.SIGINT).exit_code == 0


def test_signal_while_history_is_locked(seedream: Program, start_sandbox: StartSandbox) -> None:
    """A worker waits for the locked history. The report of the interruption must not wait for it too."""
    sandbox = start_sandbox(seconds=8)
    seedream.use(sandbox.base_url)
    arguments = ("generate", "fox", "-n", "2", "-o", "fox.png", "--poll-interval", "0.1")
    running = seedream.start(*arguments)
    running.wait_for(lambda: running.stderr.count("processing") == 2)
    with closing(sqlite3.connect(seedream.state / "history.sqlite3", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        # Each new progress value is recorded, so the next poll blocks a worker.
        polls = len(sandbox.requests)
        running.wait_for(lambda: len(sandbox.requests) > polls)
        time.sleep(0.2)
        began = time.monotonic()
        stopped = running.stop(signal.SIGINT)
        assert time.monotonic() - began < 3
    assert stopped.exit_code == 130
    assert hint(stopped)[0] == "download"


def test_signal_while_sandbox_draws(seedream: Program) -> None:
    seedream.environment["SEEDREAM_SANDBOX_SECONDS"] = "0.2"
    running = seedream.start(
        "generate", "fox", "-n", "12", "-q", "--quality", "4K", "--sandbox", "--poll-interval", "0.1"
    )
    running.wait_for(lambda: [*seedream.cwd.glob("*.png")])
    began = time.monotonic()
    assert running.stop(signal.SIGINT).exit_code == 130
    assert time.monotonic() - began < 1.5

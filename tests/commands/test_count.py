"""`generate --count`: several tasks in parallel, each billed once and each resumable."""

from __future__ import annotations

import shlex
import signal
import threading
import time

import pytest
from support.create_requests import idempotency_keys
from support.images import png
from support.program import Program, hint
from support.raw import Exchange, accepted, answer
from support.starting import StartRaw, StartSandbox

from seedream_cli.errors import ExitCode
from seedream_cli.sandbox.server import Sandbox


class TestCountNames:
    def test_are_numbered_if_equal(self, seedream: Program, sandbox: Sandbox) -> None:
        done = seedream("generate", "fox", "-n", "3", "-o", "art/fox.png")
        assert done.exit_code == 0, done.stderr
        assert sorted(done.paths) == ["art/fox-1.png", "art/fox-2.png", "art/fox-3.png"]
        assert len(set(idempotency_keys(sandbox))) == sandbox.task_count() == 3

    def test_are_used_by_later_download(self, seedream: Program, sandbox: Sandbox) -> None:
        ids = seedream("generate", "fox", "-n", "2", "-o", "fox.png", "--no-wait").stdout.split()
        assert len(ids) == len({*ids}) == 2
        done = seedream("download", "--pending")
        assert sorted(done.paths) == [str(seedream.cwd / f"fox-{number}.png") for number in (1, 2)]
        assert sandbox.task_count() == 2

    def test_existing_file_refuses_all(self, seedream: Program, sandbox: Sandbox) -> None:
        (seedream.cwd / "fox-2.png").write_text("mine")
        done = seedream("generate", "fox", "-n", "3", "-o", "fox.png")
        assert done.exit_code == 2
        assert "fox-2.png" in done.stderr
        assert sandbox.requests == []

    def test_existing_file_is_skipped(self, seedream: Program, sandbox: Sandbox) -> None:
        (seedream.cwd / "fox-2.png").write_bytes(png(7, 7))
        done = seedream("generate", "fox", "-n", "3", "-o", "fox.png", "--skip-existing")
        assert sorted(done.paths) == ["fox-1.png", "fox-2.png", "fox-3.png"]
        assert sandbox.task_count() == 2


@pytest.mark.parametrize(
    "arguments",
    [
        *(["fox", "-n", number] for number in ("0", "51", "x")),
        *(["fox", "-n", "2", "-o", output] for output in ("-", "fox-{nope}.png")),
        ["--resume", "last", "-n", "2"],
    ],
)
def test_count_refused(seedream: Program, sandbox: Sandbox, arguments: list[str]) -> None:
    assert seedream("generate", *arguments).exit_code == 2
    assert sandbox.requests == []


@pytest.mark.usefixtures("no_pauses")
def test_count_exit_code_is_worst(seedream: Program, start_sandbox: StartSandbox) -> None:
    seedream.use(start_sandbox(rate=0, faults=["task-failed=1", "never-completes=1"]).base_url)
    # A poll may take a second of a busy machine.
    wait = ("--timeout", "5", "--poll-interval", "1")
    done = seedream("generate", "fox", "-n", "3", "-o", "fox.png", *wait, "--json")
    codes = sorted(task["error"]["exit_code"] if task["error"] else 0 for task in done.document["tasks"])
    assert (codes, done.exit_code) == ([0, 3, 8], 3)


class TestCountStopsAfterRefusal:
    """The requests are equal: if the first is refused, the others would be refused too."""

    @pytest.mark.parametrize(
        ("status", "code", "exit_code"),
        [
            *((400, "invalid_request", ExitCode.USAGE), (401, "invalid_api_key", ExitCode.AUTHENTICATION)),
            *((402, "insufficient_quota", ExitCode.QUOTA), (404, "model_not_found", ExitCode.NOT_FOUND)),
        ],
    )
    def test_first_request_refused(
        self,
        seedream: Program,
        start_raw: StartRaw,
        status: int,
        code: str,
        exit_code: ExitCode,
    ) -> None:
        server = start_raw(answer(status, {"error": {"code": code}}))
        seedream.use(server.base_url)
        done = seedream("generate", "fox", "-n", "50", "--json")
        assert done.exit_code == exit_code
        assert len(server.requests) == 1
        assert "49 of 50" in done.stderr
        [task] = done.document["tasks"]
        assert (task["status"], task["error"]["exit_code"]) == ("refused", exit_code)
        assert len(seedream("status").stdout.splitlines()) == 1

    def test_first_request_unanswered(self, seedream: Program, start_raw: StartRaw) -> None:
        server = start_raw(answer(503, {}, headers={"Retry-After": "600"}))
        seedream.use(server.base_url)
        done = seedream("generate", "fox", "-n", "2")
        assert done.exit_code == ExitCode.UNAVAILABLE
        assert done.stderr.count("--resume op_") == len(server.requests) == 1

    def test_second_request_refused_keeps_first_task(self, seedream: Program, start_raw: StartRaw) -> None:
        server = start_raw(accepted("task_1"), answer(402, {"error": {"code": "insufficient_quota"}}))
        seedream.use(server.base_url)
        done = seedream("generate", "fox", "-n", "2", "--no-wait")
        assert (done.exit_code, done.stdout) == (ExitCode.QUOTA, "task_1\n")


def test_count_records_each_operation_before_sending(seedream: Program, start_raw: StartRaw) -> None:
    recorded: list[int] = []

    def count(exchange: Exchange) -> None:
        listed = seedream("status", "--json", env={"SEEDREAM_BASE_URL": server.base_url})
        recorded.append(len(listed.document["tasks"]))
        exchange.connection.sendall(accepted(f"task_{len(recorded)}"))

    server = start_raw(count)
    seedream.use(server.base_url)
    assert seedream("generate", "fox", "-n", "3", "--no-wait").exit_code == 0
    assert recorded[0] == 1
    assert all(known >= sent for sent, known in enumerate(recorded, 1))


class TestCountInterrupted:
    def test_prints_every_task_to_resume(self, seedream: Program, start_sandbox: StartSandbox) -> None:
        sandbox = start_sandbox(faults=["never-completes"])
        seedream.use(sandbox.base_url)
        running = seedream.start("generate", "fox", "-n", "50", "-o", "fox.png", "--poll-interval", "30")
        running.wait_for(lambda: running.stderr.count("accepted") == 50)
        began = time.monotonic()
        stopped = running.stop(signal.SIGINT)
        assert time.monotonic() - began < 5
        assert stopped.exit_code == 130
        command, *tasks = hint(stopped)
        assert command == "download"
        assert len({*tasks}) == sandbox.task_count() == 50
        assert "Traceback" not in stopped.stderr

    def test_does_not_record_unsent_requests(self, seedream: Program, start_raw: StartRaw) -> None:
        server = start_raw(lambda exchange: exchange.closed.wait(30))
        seedream.use(server.base_url)
        running = seedream.start("generate", "fox", "-n", "50")
        running.wait_for(lambda: bool(server.requests))
        stopped = running.stop(signal.SIGINT)
        assert stopped.exit_code == 130
        assert stopped.stderr.count("generate --resume op_") == 1
        assert len(seedream("status").stdout.splitlines()) == 1

    def test_prints_unanswered_request_to_resume(self, seedream: Program, start_raw: StartRaw) -> None:
        received = threading.Event()

        def never(exchange: Exchange) -> None:
            received.set()
            exchange.closed.wait(30)

        server = start_raw(accepted("task_1"), never)
        seedream.use(server.base_url)
        running = seedream.start("generate", "fox", "-n", "2", "--poll-interval", "30")
        running.wait_for(lambda: "accepted" in running.stderr and received.is_set())
        stopped = running.stop(signal.SIGTERM)
        assert stopped.exit_code == 143
        first, second = stopped.stderr.splitlines()[-1].strip().split(" && ")
        assert first == "seedream download task_1"
        assert second.startswith("seedream generate --resume op_")
        server.replies = [accepted("task_2")]
        assert seedream(*shlex.split(second)[1:], "--no-wait").stdout == "task_2\n"
        assert sorted(idempotency_keys(server))[0] in idempotency_keys(server)[:2]
        assert len({*idempotency_keys(server)}) == 2

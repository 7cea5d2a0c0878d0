"""`generate -n`: several tasks side by side, each paid once, each with a way back."""

from __future__ import annotations

import json
import shlex
import signal
import threading
import time
from collections.abc import Callable

import pytest
from support.images import png
from support.program import Program
from support.raw import Exchange, RawServer, accepted, answer
from support.terminal import Terminal

from seedream_cli.sandbox.server import Sandbox


def keys(service: Sandbox | RawServer) -> list[str]:
    return [one.headers["idempotency-key"] for one in service.requests if one.method == "POST"]


class TestTheNames:
    def test_are_numbered_where_they_would_be_the_same(self, seedream: Program, sandbox: Sandbox) -> None:
        done = seedream("generate", "fox", "-n", "3", "-o", "art/fox.png")
        assert done.exit_code == 0, done.stderr
        assert sorted(done.paths) == ["art/fox-1.png", "art/fox-2.png", "art/fox-3.png"]
        assert done.stderr.splitlines()[-1].startswith("saved 3 images to art/")
        assert len(set(keys(sandbox))) == sandbox.task_count() == 3

    def test_are_the_tasks_by_default(self, seedream: Program, sandbox: Sandbox) -> None:
        paths = seedream("generate", "fox", "-n", "2").paths
        assert len(paths) == 2
        assert all(path.startswith("fox-img_") and path.count("-") == 1 for path in paths)

    def test_have_the_number_where_the_template_says(self, seedream: Program, sandbox: Sandbox) -> None:
        done = seedream("generate", "fox", "--count", "2", "-o", "{n}/{{fox}}.{ext}")
        assert sorted(done.paths) == ["1/{fox}.png", "2/{fox}.png"]

    def test_are_kept_for_a_later_download(self, seedream: Program, sandbox: Sandbox) -> None:
        ids = seedream("generate", "fox", "-n", "2", "-o", "fox.png", "--no-wait").stdout.split()
        assert len(ids) == len({*ids}) == 2
        done = seedream("download", "--pending")
        assert sorted(done.paths) == [str(seedream.cwd / f"fox-{number}.png") for number in (1, 2)]
        assert sandbox.task_count() == 2

    def test_that_are_taken_refuse_the_whole_call(self, seedream: Program, sandbox: Sandbox) -> None:
        (seedream.cwd / "fox-2.png").write_text("mine")
        done = seedream("generate", "fox", "-n", "3", "-o", "fox.png")
        assert done.exit_code == 2
        assert "fox-2.png exists" in done.stderr
        assert sandbox.requests == []

    def test_that_are_there_are_skipped_where_that_is_asked_for(
        self, seedream: Program, sandbox: Sandbox
    ) -> None:
        (seedream.cwd / "fox-2.png").write_bytes(png(7, 7))
        done = seedream("generate", "fox", "-n", "3", "-o", "fox.png", "--skip-existing")
        assert sorted(done.paths) == ["fox-1.png", "fox-2.png", "fox-3.png"]
        assert sandbox.task_count() == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ["-n", "0"],
        ["-n", "51"],
        ["-n", "x"],
        ["-n", "2", "-o", "-"],
        ["-n", "2", "-o", "fox-{nope}.png"],
    ],
)
def test_what_is_refused(seedream: Program, sandbox: Sandbox, arguments: list[str]) -> None:
    assert seedream("generate", "fox", *arguments).exit_code == 2
    assert sandbox.requests == []


def test_does_not_go_with_resume(seedream: Program, sandbox: Sandbox) -> None:
    assert seedream("generate", "--resume", "last", "-n", "2").exit_code == 2


def test_one_that_fails_stops_no_other(seedream: Program, start_sandbox: Callable[..., Sandbox]) -> None:
    seedream.use(start_sandbox(faults=["task-failed=1"]).base_url)
    done = seedream("generate", "fox", "-n", "3", "-o", "fox.png", "--json")
    assert done.exit_code == 3
    document = done.document
    assert sorted(bool(task["files"]) for task in document["tasks"]) == [False, True, True]
    [failed] = [task for task in document["tasks"] if task["error"]]
    assert document["error"]["task_id"] == failed["task_id"]


def test_the_worst_that_occurred_is_the_exit_code(
    seedream: Program, start_sandbox: Callable[..., Sandbox]
) -> None:
    seedream.use(start_sandbox(faults=["task-failed=1", "never-completes=1"]).base_url)
    done = seedream("generate", "fox", "-n", "3", "-o", "fox.png", "--timeout", "2", "--json")
    codes = sorted(task["error"]["exit_code"] if task["error"] else 0 for task in done.document["tasks"])
    assert (codes, done.exit_code) == ([0, 3, 8], 3)


def test_a_refused_one_has_no_way_back(seedream: Program, start_raw: Callable[..., RawServer]) -> None:
    seedream.use(start_raw(answer(402, {"error": {"code": "insufficient_quota"}})).base_url)
    done = seedream("generate", "fox", "-n", "2", "--json")
    assert done.exit_code == 5
    assert {task["status"] for task in done.document["tasks"]} == {"refused"}


def test_a_dry_run_has_a_request_for_each(seedream: Program) -> None:
    requests = seedream("generate", "fox", "-n", "3", "--dry-run").document["requests"]
    assert len(requests) == 3
    assert all(one["json"]["prompt"] == "fox" for one in requests)


def test_all_are_on_disk_before_the_first_is_sent(
    seedream: Program, start_raw: Callable[..., RawServer]
) -> None:
    recorded: list[int] = []

    def count(exchange: Exchange) -> None:
        done = seedream("status", "--json", env={"SEEDREAM_BASE_URL": server.base_url})
        recorded.append(len(json.loads(done.stdout)["tasks"]))
        exchange.connection.sendall(accepted(f"task_{len(recorded)}"))

    server = start_raw(count)
    seedream.use(server.base_url)
    assert seedream("generate", "fox", "-n", "3", "--no-wait").exit_code == 0
    assert recorded == [3, 3, 3]


class TestCtrlC:
    def test_ends_all_at_once_and_names_them(
        self, seedream: Program, start_sandbox: Callable[..., Sandbox]
    ) -> None:
        sandbox = start_sandbox(faults=["never-completes"])
        seedream.use(sandbox.base_url)
        running = seedream.start("generate", "fox", "-n", "3", "-o", "fox.png", "--poll-interval", "30")
        running.wait_for(lambda: running.stderr.count("accepted") == 3)
        began = time.monotonic()
        stopped = running.stop(signal.SIGINT)
        assert time.monotonic() - began < 5
        assert stopped.exit_code == 130
        assert "stopped; 3 tasks go on at the service, nothing is lost" in stopped.stderr
        words = shlex.split(stopped.stderr.splitlines()[-1])
        assert words[:2] == ["seedream", "download"]
        assert len({*words[2:]}) == 3
        assert "Traceback" not in stopped.stderr

    def test_names_those_without_an_answer_too(
        self, seedream: Program, start_raw: Callable[..., RawServer]
    ) -> None:
        asked = threading.Event()

        def never(exchange: Exchange) -> None:
            asked.set()
            exchange.closed.wait(30)

        server = start_raw(accepted("task_1"), never)
        seedream.use(server.base_url)
        running = seedream.start("generate", "fox", "-n", "2", "--poll-interval", "30")
        running.wait_for(lambda: "accepted" in running.stderr and asked.is_set())
        stopped = running.stop(signal.SIGTERM)
        assert stopped.exit_code == 143
        first, second = stopped.stderr.splitlines()[-1].strip().split(" && ")
        assert first == "seedream download task_1"
        assert second.startswith("seedream generate --resume op_")
        server.replies = [accepted("task_2")]
        assert seedream(*shlex.split(second)[1:], "--no-wait").stdout == "task_2\n"
        assert sorted(keys(server))[0] in keys(server)[:2]
        assert len({*keys(server)}) == 2


def test_a_terminal_shows_how_far_all_are(seedream: Program, start_sandbox: Callable[..., Sandbox]) -> None:
    seedream.use(start_sandbox(seconds=1, faults=["task-failed=1"]).base_url)
    with Terminal(seedream, "generate", "fox", "-n", "3", "-o", "fox.png", columns=100) as terminal:
        terminal.screen_until(lambda screen: "0 of 3 · 3 under way" in screen)
        done = terminal.result()
    assert done.exit_code == 3
    assert len([line for line in done.lines if line.startswith("fox-")]) == 2
    assert not [line for line in done.lines if "under way" in line]

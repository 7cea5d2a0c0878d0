"""`generate --resume` and `download --pending` print the operations before they resume them."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing

from support.program import Program, hint
from support.raw import accepted, answer, success
from support.starting import StartRaw

from seedream_cli.sandbox.server import Sandbox


class TestResumedOperationsArePrinted:
    def test_download_pending_lists_the_tasks(self, seedream: Program, sandbox: Sandbox) -> None:
        one = seedream("generate", "a red\nfox " + "x" * 60, "--no-wait", "-o", "one.png").stdout.strip()
        two = seedream("generate", "two", "--no-wait").stdout.strip()
        done = seedream("download", "--pending")
        first, second, third, *_ = done.stderr.splitlines()
        assert first.startswith("2 ")
        assert re.fullmatch(rf"{one} · \d+ s ago · a red fox x+… · to one\.png", second)
        assert re.fullmatch(rf"{two} · \d+ s ago · two · to two-{two}\.{{ext}}", third)
        assert seedream("download", "--pending", "-q").stderr == ""

    def test_resume_last_prints_the_operation(self, seedream: Program, start_raw: StartRaw) -> None:
        busy = answer(503, {}, headers={"Retry-After": "3600"})
        server = start_raw(busy, accepted("task_1"), success({"status": "queued"}))
        seedream.use(server.base_url)
        seedream("generate", "a fox")
        done = seedream("generate", "--resume", "last", "--no-wait")
        assert done.exit_code == 0
        first = done.stderr.splitlines()[0]
        assert re.fullmatch(r"op_\w{8} · \d+ s ago · a fox · to \./", first)
        assert "--pending" not in done.stderr

    def test_resume_last_counts_the_other_pending_tasks(self, seedream: Program, sandbox: Sandbox) -> None:
        seedream("generate", "a fox", "--no-wait", "-n", "3")
        stderr_lines = seedream("generate", "--resume", "last").stderr.splitlines()
        assert stderr_lines[1].startswith("2 ")
        assert stderr_lines[1].endswith(" seedream download --pending")
        stderr_lines = seedream("generate", "--resume", "last").stderr.splitlines()
        assert stderr_lines[1].startswith("1 ")
        assert "--pending" not in seedream("generate", "--resume", "last").stderr

    def test_download_and_resume_print_the_new_output(self, seedream: Program, sandbox: Sandbox) -> None:
        seedream("generate", "a fox", "--no-wait", "-o", "fox.png")
        done = seedream("download", "--pending", "-o", "art/{slug}.{ext}")
        assert done.stderr.splitlines()[1].endswith("to art/a-fox.{ext}")
        seedream("generate", "a fox", "--no-wait", "-o", "fox.png")
        done = seedream("generate", "--resume", "last", "-o", "other.png")
        assert done.stderr.splitlines()[0].endswith("to other.png")

    def test_download_pending_lists_unanswered_operations_for_a_week(
        self, seedream: Program, start_raw: StartRaw
    ) -> None:
        server = start_raw(answer(503, {}, headers={"Retry-After": "3600"}))
        seedream.use(server.base_url)
        lost = hint(seedream("generate", "a fox", "-o", "fox.png"))
        first, second = seedream("download", "--pending").stderr.splitlines()
        assert first.startswith("0 ")
        assert second.startswith(lost[-1])
        assert second.endswith(" ".join([" seedream", *lost]))
        with closing(sqlite3.connect(seedream.state / "history.sqlite3")) as database, database:
            database.execute("UPDATE operations SET created = created - 8 * 86400")
        assert lost[-1] not in seedream("download", "--pending").stderr

"""`seedream status TASK`: the state of tasks at the service."""

from __future__ import annotations

import pytest
from support.program import Program, hint
from support.raw import answer, success
from support.starting import StartRaw, StartSandbox

from seedream_cli.sandbox.server import Sandbox


class TestStatusOfTasks:
    def test_status_of_a_completed_task_exits_0(self, seedream: Program, sandbox: Sandbox) -> None:
        seedream("generate", "fox", "-o", "fox.png")
        task = seedream("status").stdout.split("\t")[1]
        done = seedream("status", task)
        assert (done.exit_code, done.stdout) == (0, f"{task}\tcompleted\n")

    def test_status_of_a_pending_task_exits_8(self, seedream: Program, start_sandbox: StartSandbox) -> None:
        seedream.use(start_sandbox(faults=["never-completes"]).base_url)
        task = seedream("generate", "fox", "--no-wait").stdout.strip()
        done = seedream("status", task)
        assert done.exit_code == 8
        assert done.stdout.startswith(f"{task}\t")
        assert "error:" not in done.stderr
        # --watch reports the pending task as an error, with the command to resume.
        done = seedream("status", task, "--watch", "--timeout", "0", "--poll-interval", "5")
        assert (done.exit_code, hint(done)) == (8, ["download", task])

    @pytest.mark.parametrize("status", ["failed", "cancelled", "rejected"])
    def test_status_of_an_unsuccessful_task_exits_3(
        self, seedream: Program, start_sandbox: StartSandbox, status: str
    ) -> None:
        seedream.use(start_sandbox(faults=[f"task-{status}"], seconds=0).base_url)
        task = seedream("generate", "fox", "--no-wait").stdout.strip()
        done = seedream("status", task)
        assert done.exit_code == 3
        assert done.stdout.startswith(f"{task}\t{status}")

    def test_status_of_an_unknown_task_exits_6(self, seedream: Program, sandbox: Sandbox) -> None:
        done = seedream("status", "task_nope", "--json")
        assert done.exit_code == 6
        assert [(one["task_id"], one["status"]) for one in done.document["tasks"]] == [
            ("task_nope", "unknown")
        ]

    def test_status_document_has_result_urls(self, seedream: Program, sandbox: Sandbox) -> None:
        seedream("generate", "fox")
        task = seedream("status").stdout.split("\t")[1]
        [entry] = seedream("status", task, "--json").document["tasks"]
        assert entry["result"][0].startswith(sandbox.image_origin)
        assert entry["prompt"] == "fox"

    def test_status_of_several_tasks_reports_all_of_them(
        self, seedream: Program, start_sandbox: StartSandbox
    ) -> None:
        seedream.use(start_sandbox(faults=["task-failed=1"], seconds=0).base_url)
        failed, fine = (seedream("generate", "fox", "--no-wait").stdout.strip() for _ in range(2))
        done = seedream("status", failed, "task_nope", fine, "--json")
        assert done.exit_code == 3
        document = done.document
        assert [task["task_id"] for task in document["tasks"]] == [failed, "task_nope", fine]
        assert [task["error"] and task["error"]["exit_code"] for task in document["tasks"]] == [3, 6, None]
        assert document["error"]["task_id"] == failed

    def test_status_prints_an_unknown_state_unchanged(self, seedream: Program, start_raw: StartRaw) -> None:
        seedream.use(start_raw(success({"status": "Warming-Up"})).base_url)
        done = seedream("status", "t/1 x")
        assert (done.exit_code, done.stdout) == (8, "t/1 x\tWarming-Up\n")

    def test_status_of_an_unanswered_operation_has_a_resume_command(
        self, seedream: Program, start_raw: StartRaw
    ) -> None:
        seedream.use(start_raw(answer(429, {}, headers={"Retry-After": "3600"})).base_url)
        seedream("generate", "fox")
        operation = seedream("status").stdout.split("\t")[1]
        assert operation.startswith("op_")
        done = seedream("status", operation)
        assert done.exit_code == 8
        assert f"seedream generate --resume {operation}" in done.stderr

    def test_watch_without_a_task_is_a_usage_error(self, seedream: Program) -> None:
        assert seedream("status", "--watch").exit_code == 2

from __future__ import annotations

import pytest
from support.program import Program, hint
from support.raw import answer, success
from support.starting import StartRaw, StartSandbox

from seedream_cli.sandbox.server import Sandbox


class TestAskingForATask:
    def test_that_is_completed_exits_0(self, seedream: Program, sandbox: Sandbox) -> None:
        seedream("generate", "fox", "-o", "fox.png")
        task = seedream("status").stdout.split("\t")[1]
        done = seedream("status", task)
        assert (done.exit_code, done.stdout) == (0, f"{task}\tcompleted\n")

    def test_that_is_not_finished_exits_8(self, seedream: Program, start_sandbox: StartSandbox) -> None:
        seedream.use(start_sandbox(faults=["never-completes"]).base_url)
        task = seedream("generate", "fox", "--no-wait").stdout.strip()
        done = seedream("status", task)
        assert done.exit_code == 8
        assert done.stdout.startswith(f"{task}\t")
        assert "error:" not in done.stderr
        # Nor with --watch, which says how to go on.
        done = seedream("status", task, "--watch", "--timeout", "0", "--poll-interval", "5")
        assert (done.exit_code, hint(done)) == (8, ["download", task])

    @pytest.mark.parametrize("status", ["failed", "cancelled", "rejected"])
    def test_that_has_no_image_exits_3(
        self, seedream: Program, start_sandbox: StartSandbox, status: str
    ) -> None:
        seedream.use(start_sandbox(faults=[f"task-{status}"], seconds=0).base_url)
        task = seedream("generate", "fox", "--no-wait").stdout.strip()
        done = seedream("status", task)
        assert done.exit_code == 3
        assert done.stdout.startswith(f"{task}\t{status}")

    def test_that_does_not_exist_exits_6(self, seedream: Program, sandbox: Sandbox) -> None:
        done = seedream("status", "task_nope", "--json")
        assert done.exit_code == 6
        assert [(one["task_id"], one["status"]) for one in done.document["tasks"]] == [
            ("task_nope", "unknown")
        ]

    def test_with_json_has_the_results_urls(self, seedream: Program, sandbox: Sandbox) -> None:
        seedream("generate", "fox")
        task = seedream("status").stdout.split("\t")[1]
        [entry] = seedream("status", task, "--json").document["tasks"]
        assert entry["result"][0].startswith(sandbox.image_origin)
        assert entry["prompt"] == "fox"

    def test_carries_several_as_far_as_they_go(self, seedream: Program, start_sandbox: StartSandbox) -> None:
        seedream.use(start_sandbox(faults=["task-failed=1"], seconds=0).base_url)
        failed, fine = (seedream("generate", "fox", "--no-wait").stdout.strip() for _ in range(2))
        done = seedream("status", failed, "task_nope", fine, "--json")
        assert done.exit_code == 3
        document = done.document
        assert [task["task_id"] for task in document["tasks"]] == [failed, "task_nope", fine]
        assert [task["error"] and task["error"]["exit_code"] for task in document["tasks"]] == [3, 6, None]
        assert document["error"]["task_id"] == failed

    def test_shows_an_unknown_state_as_it_came(self, seedream: Program, start_raw: StartRaw) -> None:
        seedream.use(start_raw(success({"status": "Warming-Up"})).base_url)
        done = seedream("status", "t/1 x")
        assert (done.exit_code, done.stdout) == (8, "t/1 x\tWarming-Up\n")

    def test_is_answered_for_one_without_a_task(self, seedream: Program, start_raw: StartRaw) -> None:
        seedream.use(start_raw(answer(429, {}, headers={"Retry-After": "3600"})).base_url)
        seedream("generate", "fox")
        operation = seedream("status").stdout.split("\t")[1]
        assert operation.startswith("op_")
        done = seedream("status", operation)
        assert done.exit_code == 8
        assert f"seedream generate --resume {operation}" in done.stderr


class TestTheList:
    def test_is_empty_at_first(self, seedream: Program, sandbox: Sandbox) -> None:
        done = seedream("status")
        assert (done.exit_code, done.stdout) == (0, "")
        assert done.stderr

    def test_needs_neither_key_nor_network(self, seedream: Program, sandbox: Sandbox) -> None:
        seedream("generate", "A red fox", "-o", "fox.png")
        before = len(sandbox.requests)
        del seedream.environment["SEEDREAM_API_KEY"]
        [line] = seedream("status").stdout.splitlines()
        assert line.split("\t")[2:] == ["completed", "A red fox", str(seedream.cwd / "fox.png")]
        assert len(sandbox.requests) == before

    def test_has_the_newest_first_and_at_most_limit(self, seedream: Program, sandbox: Sandbox) -> None:
        for prompt in ("one", "two", "three"):
            seedream("generate", prompt, "--no-wait")
        prompts = [line.split("\t")[3] for line in seedream("status", "--limit", "2").stdout.splitlines()]
        assert prompts == ["three", "two"]

    def test_says_which_state_was_probably_meant(self, seedream: Program, sandbox: Sandbox) -> None:
        done = seedream("status", "--state", "COMPLETE")
        assert (done.exit_code, done.stdout) == (0, "")
        assert "'completed'" in done.stderr
        assert "'" not in seedream("status", "--state", "Failed").stderr
        assert seedream("status", "--state", "").exit_code == 2

    def test_takes_all_sandboxes_for_one_service(
        self, seedream: Program, start_sandbox: StartSandbox
    ) -> None:
        seedream.use(start_sandbox().base_url)
        seedream("generate", "here", "--no-wait")
        seedream.use(start_sandbox().base_url)
        assert "here" in seedream("status").stdout
        assert "here" in seedream("status", "--sandbox").stdout

    def test_refuses_to_watch_nothing(self, seedream: Program) -> None:
        assert seedream("status", "--watch").exit_code == 2

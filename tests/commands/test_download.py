from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
from support.images import png
from support.program import Program, hint
from support.raw import accepted, answer, success
from support.starting import StartRaw, StartSandbox

from seedream_cli.sandbox.server import Sandbox


@pytest.fixture
def task(seedream: Program, sandbox: Sandbox) -> str:
    """The id of a task that was submitted with `-o art/fox.png --no-wait`."""
    return seedream("generate", "fox", "--no-wait", "-o", "art/fox.png").stdout.strip()


class TestDownloadTask:
    def test_saves_to_output_of_generate(self, seedream: Program, task: str) -> None:
        elsewhere = seedream.cwd / "elsewhere"
        elsewhere.mkdir()
        done = seedream("download", task, cwd=elsewhere)
        assert done.exit_code == 0
        assert done.paths == [str(seedream.cwd / "art" / "fox.png")]
        assert (seedream.cwd / "art" / "fox.png").read_bytes() == png()

    def test_saved_image_is_not_fetched_again(self, seedream: Program, sandbox: Sandbox, task: str) -> None:
        first = seedream("download", task)
        before = len(sandbox.requests)
        again = seedream("download", task)
        assert (again.exit_code, again.paths) == (0, first.paths)
        assert len(sandbox.requests) == before
        # A deleted file is fetched again.
        (seedream.cwd / "art" / "fox.png").unlink()
        assert seedream("download", task).paths == first.paths
        assert (seedream.cwd / "art" / "fox.png").exists()

    def test_existing_file_gets_numbered_name(self, seedream: Program, task: str) -> None:
        (seedream.cwd / "art" / "fox.png").write_text("mine")
        done = seedream("download", task)
        assert done.paths == [str(seedream.cwd / "art" / "fox-2.png")]
        assert "fox.png" in done.stderr
        assert (seedream.cwd / "art" / "fox.png").read_text() == "mine"
        assert seedream("download", task, "--overwrite", "-o", "art/fox.png").exit_code == 0
        assert (seedream.cwd / "art" / "fox.png").read_bytes() == png()

    def test_output_that_exists_is_refused(self, seedream: Program, sandbox: Sandbox, task: str) -> None:
        (seedream.cwd / "mine.png").write_text("mine")
        before = len(sandbox.requests)
        done = seedream("download", task, "-o", "mine.png")
        assert done.exit_code == 2
        assert len(sandbox.requests) == before

    def test_external_task(self, seedream: Program, sandbox: Sandbox, task: str) -> None:
        for file in seedream.state.iterdir():
            file.unlink()
        [path] = seedream("download", task).paths
        assert path == f"image-{task}.png"
        assert seedream("download", task).paths == [str(seedream.cwd / path)]

    def test_to_stdout(self, seedream: Program, task: str) -> None:
        assert seedream("download", task, "-o", "-").raw == png()

    def test_unfinished_task_exits_8(self, seedream: Program, start_sandbox: StartSandbox) -> None:
        seedream.use(start_sandbox(faults=["never-completes"]).base_url)
        task = seedream("generate", "fox", "--no-wait").stdout.strip()
        done = seedream("download", task, "--no-wait")
        assert done.exit_code == 8
        assert hint(done) == ["download", task]

    def test_unknown_task_exits_6(self, seedream: Program, sandbox: Sandbox) -> None:
        assert seedream("download", "task_nope").exit_code == 6

    def test_task_id_like_a_path_stays_in_folder(self, seedream: Program, start_raw: StartRaw) -> None:
        image = start_raw(answer(200, png()))
        api = start_raw(success({"status": "completed", "result": [f"{image.origin}/x"]}))
        seedream.use(api.base_url)
        done = seedream("download", "../../etc/x?y#z")
        assert done.exit_code == 0
        assert "/" not in done.paths[0]
        assert api.requests[0].path == "/v1/images/status/..%2F..%2Fetc%2Fx%3Fy%23z"


class TestDownloadPending:
    def test_saves_every_unsaved_task(self, seedream: Program, sandbox: Sandbox) -> None:
        for name in ("one", "two"):
            seedream("generate", name, "--no-wait", "-o", f"{name}.png")
        seedream("generate", "three", "-o", "three.png")
        done = seedream("download", "--pending")
        assert done.exit_code == 0
        assert done.paths == [str(seedream.cwd / "one.png"), str(seedream.cwd / "two.png")]
        assert seedream("download", "--pending").paths == []
        assert sandbox.task_count() == 3

    @pytest.mark.parametrize("arguments", [[], ["task_1", "--pending"]])
    def test_without_or_with_task_ids_is_refused(self, seedream: Program, arguments: list[str]) -> None:
        assert seedream("download", *arguments).exit_code == 2

    def test_keeps_recent_task_with_404(self, seedream: Program, start_raw: StartRaw) -> None:
        seedream.use(start_raw(accepted("task_1"), answer(404), success({"status": "queued"})).base_url)
        done = seedream("generate", "fox")
        assert (done.exit_code, hint(done)) == (6, ["download", "task_1"])
        assert seedream("download", "--pending", "--no-wait").exit_code == 8

    def test_ignores_task_that_is_gone(self, seedream: Program, start_raw: StartRaw) -> None:
        seedream.use(start_raw(accepted("task_1"), answer(404)).base_url)
        seedream("generate", "fox", "--no-wait")
        with closing(sqlite3.connect(seedream.state / "history.sqlite3")) as database, database:
            database.execute("UPDATE operations SET accepted = accepted - 2 * 86400")
        gone = seedream("download", "--pending", "--json")
        assert (gone.exit_code, gone.document["tasks"][0]["status"]) == (6, "gone")
        assert seedream("download", "--pending").exit_code == 0
        assert seedream("download", "task_1").exit_code == 6


class TestDownloadToSameName:
    def test_keeps_both_images_even_with_overwrite(self, seedream: Program, sandbox: Sandbox) -> None:
        """--overwrite replaces only files that existed before the call."""
        (seedream.cwd / "fox.png").write_text("old")
        tasks = [seedream("generate", word, "--no-wait").stdout.strip() for word in ("one", "two")]
        done = seedream("download", *tasks, "-o", "fox.png", "--overwrite")
        assert done.paths == ["fox.png", "fox.png"] or done.paths == ["fox.png", "fox-2.png"]
        assert (seedream.cwd / "fox.png").read_bytes() == png()

    def test_stdout_is_refused(self, seedream: Program, sandbox: Sandbox) -> None:
        done = seedream("download", "t1", "t2", env={"SEEDREAM_OUTPUT": "-"})
        assert (done.exit_code, done.raw) == (2, b"")


class TestDownloadPartialSuccess:
    def test_saves_other_tasks_and_reports_failure(
        self, seedream: Program, sandbox: Sandbox, task: str
    ) -> None:
        done = seedream("download", "task_nope", task, "--json")
        assert done.exit_code == 6
        missing, saved = done.document["tasks"]
        assert (missing["files"], missing["error"]["exit_code"]) == ([], 6)
        assert saved["error"] is None
        assert saved["files"][0]["path"] == str(seedream.cwd / "art" / "fox.png")
        assert done.document["error"] == missing["error"]

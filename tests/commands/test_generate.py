from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress

import pytest
from support.create_requests import create_bodies, create_requests
from support.images import JPEG, png
from support.program import Program, hint
from support.raw import accepted, answer, success
from support.starting import StartRaw

from seedream_cli.sandbox.server import Sandbox


def operations(seedream: Program) -> list[sqlite3.Row]:
    return rows(seedream, "SELECT * FROM operations ORDER BY created")


def rows(seedream: Program, query: str) -> list[sqlite3.Row]:
    with closing(sqlite3.connect(seedream.state / "history.sqlite3")) as database:
        database.row_factory = sqlite3.Row
        return database.execute(query).fetchall()


@pytest.fixture
def serve(seedream: Program, start_raw: StartRaw) -> Callable[..., None]:
    """Return a function that starts a service whose task has these images."""

    def serve(*images: bytes) -> None:
        origin = start_raw(*(answer(200, image) for image in images)).origin
        urls = [f"{origin}/{number}.png?signature=secret" for number in range(len(images))]
        seedream.use(start_raw(accepted(), success({"status": "completed", "result": urls})).base_url)

    return serve


Serve = Callable[..., None]


class TestGenerateStdout:
    def test_is_only_the_saved_path(self, seedream: Program, sandbox: Sandbox) -> None:
        done = seedream("generate", "A red fox")
        assert done.exit_code == 0
        [path] = done.paths
        assert path.startswith("a-red-fox-img_")
        assert (seedream.cwd / path).read_bytes() == png()
        assert [file.name for file in seedream.cwd.iterdir()] == [path]
        assert sandbox.task_count() == 1
        # The defaults of the API reference.
        [body] = create_bodies(sandbox)
        assert body == {
            "model": "seedream-v4.5",
            "prompt": "A red fox",
            "aspect_ratio": "1:1",
            "quality": "2K",
        }

    def test_is_the_task_id_with_no_wait(self, seedream: Program, sandbox: Sandbox) -> None:
        done = seedream("generate", "fox", "--no-wait")
        assert done.exit_code == 0
        assert done.stdout.startswith("img_")
        assert [request.method for request in sandbox.requests] == ["POST"]
        assert list(seedream.cwd.iterdir()) == []

    def test_is_image_with_output_dash(self, seedream: Program, sandbox: Sandbox) -> None:
        done = seedream("generate", "fox", "-o", "-")
        assert (done.exit_code, done.raw) == (0, png())
        assert list(seedream.cwd.iterdir()) == []
        assert seedream("download", "--pending").paths == []
        assert (seedream("generate", "fox", "-o", "-", "--json").exit_code, sandbox.task_count()) == (2, 1)


class TestGenerateRequest:
    def test_has_values_of_options_before_and_after_prompt(self, seedream: Program, sandbox: Sandbox) -> None:
        callback = "https://example.com/hook"
        options = ("-m", "seedream-v4.5", "--quality=4K", "--callback-url", callback)
        assert seedream("generate", "-a", "21:9", "fox", *options).exit_code == 0
        [body] = create_bodies(sandbox)
        assert body == {
            "model": "seedream-v4.5",
            "prompt": "fox",
            "aspect_ratio": "21:9",
            "quality": "4K",
            "callback_url": callback,
        }

    @pytest.mark.parametrize("prompt", ["[bold]fox[/bold]", "--", "-", "$HOME *", "🦊", "雪中的红狐", "a\nb"])
    def test_has_any_prompt_unchanged(self, seedream: Program, sandbox: Sandbox, prompt: str) -> None:
        assert seedream("generate", "--", prompt).exit_code == 0
        [body] = create_bodies(sandbox)
        assert body["prompt"] == prompt

    @pytest.mark.parametrize(
        ("arguments", "stdin", "prompt"),
        [
            (["-"], "\n  A red fox\n", "A red fox"),
            (["--prompt-file", "prompt.txt"], "", "红狐"),
            # Here `--` is the value of -o and does not end the options.
            (["-o", "--", "-"], "fox", "fox"),
            # The limit counts characters, not bytes.
            (["-"], "狐" * 4000, "狐" * 4000),
            (["-", "-m", "seedream-5.0-lite"], "狐" * 2000, "狐" * 2000),
        ],
    )
    def test_has_prompt_from_stdin_or_file(
        self, seedream: Program, sandbox: Sandbox, arguments: list[str], stdin: str, prompt: str
    ) -> None:
        (seedream.cwd / "prompt.txt").write_text("\ufeff 红狐 \n", encoding="utf-8")
        assert seedream("generate", *arguments, stdin=stdin).exit_code == 0
        [body] = create_bodies(sandbox)
        assert body["prompt"] == prompt

    def test_with_unknown_model_is_sent(self, seedream: Program, sandbox: Sandbox) -> None:
        done = seedream("generate", "fox", "-m", "seedream-9", "-a", "5:4", "--quality", "8K")
        assert done.exit_code == 6
        [body] = create_bodies(sandbox)
        assert body["model"] == "seedream-9"

    def test_is_printed_by_dry_run_and_not_sent(self, seedream: Program) -> None:
        done = seedream("generate", "狐", "--dry-run")
        assert done.exit_code == 0
        body = {"model": "seedream-v4.5", "prompt": "狐", "aspect_ratio": "1:1", "quality": "2K"}
        request = {
            "method": "POST",
            "url": "https://api.apipod.ai/v1/images/generations",
            "json": body,
            "prompt_characters": 1,
            "prompt_limit": 4000,
        }
        assert done.document == {"requests": [request]}
        assert seedream("generate", "狐", "--dry-run", "--json").document == {
            "requests": [request],
            "error": None,
        }
        assert not seedream.state.exists()


class TestGenerateRefusesBeforeSending:
    @pytest.fixture(autouse=True)
    def nothing_is_sent_or_recorded(self, seedream: Program, sandbox: Sandbox) -> object:
        yield
        assert sandbox.requests == []
        if (seedream.state / "history.sqlite3").exists():
            with suppress(sqlite3.DatabaseError):
                assert operations(seedream) == []

    @pytest.mark.parametrize(
        "arguments",
        [
            *([""], ["  \n"], [], ["x" * 4001], ["x" * 2001, "-m", "seedream-5.0-lite"], ["fox", "-o", ""]),
            # Values that the model does not accept.
            *(["fox", *words.split()] for words in ("-a 5:4", "--quality 3K", "-m seedream-v4.5-edit")),
            *(["fox", "-m", ""], ["fox", "--quality", "4K", "-m", "seedream-5.0-lite"]),
            *(["fox", "-o", "{nope}.png"], ["fox", "--timeout", "soon"], ["fox", "--timeout", "nan"]),
            *(["fox", "--timeout", "1e12"], ["fox", "--poll-interval", "0"], ["fox", "--max-bytes", "-1"]),
            # Several prompts, or an unreadable one.
            *(["fox", "bear"], ["fox", "--prompt-file", "x.txt"], ["--prompt-file", "missing.txt"]),
            *(["fox", "--output-file", "x"], ["fox", "--out", "x"]),
            # Nothing to resume.
            *(["fox", "--new-key"], ["fox", "--resume", "last"], ["--resume", "last"]),
            ["--resume", "op_00000000"],
            *(["fox", "--base-url", url] for url in ("http://example.com/v1", "ftp://example.com")),
            *(["fox", "--sandbox", "--base-url", "https://example.com"], ["fox", "--profile", "nope"]),
            # Options that contradict each other.
            *(["fox", "-o", "-", "--no-wait"], ["-", "--api-key-file", "/dev/stdin"]),
            *(["fox", "--skip-existing"], ["fox", "-o", "x.png", "--skip-existing", "--overwrite"]),
        ],
    )
    def test_usage_error(self, seedream: Program, arguments: list[str]) -> None:
        done = seedream("generate", *arguments, stdin="fox")
        assert (done.exit_code, done.stdout) == (2, ""), done.stderr
        assert 1 <= len(done.stderr.splitlines()) <= 3
        assert "4001" in done.stderr or "x" * 4001 not in arguments
        document = seedream("generate", *arguments, "--json", stdin="fox").document
        assert document["tasks"] == []
        assert document["error"]["exit_code"] == 2

    def test_undecodable_prompt(self, seedream: Program) -> None:
        assert seedream("generate", os.fsdecode(b"fox \xff")).exit_code == 2
        assert seedream("generate", "-", stdin=b"\xff\xfe\x00").exit_code == 2

    @pytest.mark.parametrize(
        ("existing", "output"), [("fox.png", "fox.png"), ("fox.webp", "fox.{ext}"), ("art", "art/fox.png")]
    )
    def test_existing_output(self, seedream: Program, existing: str, output: str) -> None:
        (seedream.cwd / existing).write_text("mine")
        done = seedream("generate", "fox", "-o", output)
        assert done.exit_code == 2
        assert existing in done.stderr
        assert (seedream.cwd / existing).read_text() == "mine"

    @pytest.mark.parametrize(
        "output", ["/proc/x.png", "n" * 300 + ".png", "n" * 300 + "/x.png", "fifo", "folder", "fifo/x.png"]
    )
    @pytest.mark.parametrize("flags", [[], ["--overwrite"], ["--skip-existing"]])
    def test_unwritable_output(self, seedream: Program, output: str, flags: list[str]) -> None:
        os.mkfifo(seedream.cwd / "fifo")
        (seedream.cwd / "folder").mkdir()
        if output == "folder":
            (seedream.cwd / "folder" / "1x1.png").mkdir()
            output = "folder/{ratio}.png"
        done = seedream("generate", "fox", "-o", output, *flags)
        assert (done.exit_code, done.stdout) == (2, "")

    def test_missing_api_key(self, seedream: Program) -> None:
        del seedream.environment["SEEDREAM_API_KEY"]
        done = seedream("generate", "fox")
        assert done.exit_code == 4
        for remedy in ("SEEDREAM_API_KEY", "--api-key-file", "--sandbox"):
            assert remedy in done.stderr
        assert hint(done) == ["config", "set", "api_key"]


def test_max_bytes_hint_has_announced_size(seedream: Program, sandbox: Sandbox) -> None:
    done = seedream("generate", "fox", env={"SEEDREAM_MAX_BYTES": "10"})
    assert done.exit_code == 9
    assert seedream(*hint(done), env={"SEEDREAM_MAX_BYTES": "10"}).exit_code == 0


def test_max_bytes_default_is_200_mib(seedream: Program, start_raw: StartRaw) -> None:
    image = start_raw(answer(200, b"", length=200 * 1024 * 1024 + 1))
    done = success({"task_id": "task_1", "status": "completed", "result": [f"{image.origin}/1.png"]})
    seedream.use(start_raw(accepted(), done).base_url)
    refused = seedream("generate", "fox")
    assert refused.exit_code == 9
    assert "209715200" in refused.stderr
    assert hint(refused)[:3] == ["download", "--max-bytes", "209715201"]


class TestGenerateFiles:
    def test_overwrite_replaces_file(self, seedream: Program, sandbox: Sandbox) -> None:
        (seedream.cwd / "fox.png").write_text("old")
        assert seedream("generate", "fox", "-o", "fox.png", "--overwrite").exit_code == 0
        assert (seedream.cwd / "fox.png").read_bytes() == png()

    def test_skip_existing_sends_nothing_and_prints_path(self, seedream: Program, sandbox: Sandbox) -> None:
        (seedream.cwd / "fox.png").write_bytes(png(7, 5))
        done = seedream("generate", "fox", "-o", "fox.png", "--skip-existing")
        assert (done.exit_code, done.paths) == (0, ["fox.png"])
        [task] = seedream("generate", "fox", "-o", "fox.png", "--skip-existing", "--json").document["tasks"]
        assert task["status"] == "skipped"
        assert (task["files"][0]["width"], task["files"][0]["height"]) == (7, 5)
        assert sandbox.requests == []

    def test_extension_follows_bytes(self, seedream: Program, serve: Serve) -> None:
        serve(JPEG)
        done = seedream("generate", "fox")
        assert done.paths == ["fox-task_1.jpg"]
        assert "secret" not in done.stderr

    def test_several_images_to_stdout_are_refused(self, seedream: Program, serve: Serve) -> None:
        serve(png(), png())
        done = seedream("generate", "fox", "-o", "-")
        assert (done.exit_code, done.raw) == (9, b"")
        assert seedream(*hint(done)).exit_code == 0
        assert len(list(seedream.cwd.glob("fox-task_1-*.png"))) == 2


class TestGenerateHistory:
    def test_is_private_and_contains_no_api_key(self, seedream: Program, sandbox: Sandbox) -> None:
        [path] = seedream("generate", "A red fox").paths
        [row] = operations(seedream)
        [create] = create_requests(sandbox)
        assert row["idempotency_key"] == create.headers["idempotency-key"]
        assert row["endpoint"] == "POST /images/generations"
        assert json.loads(row["request"]) == json.loads(create.body)
        assert row["task_id"].startswith("img_")
        assert (row["cost"], row["status"]) == ("0.035", "completed")
        assert row["request_id"].startswith("req_")
        assert json.loads(row["results"])[0].startswith(sandbox.image_origin)
        [file] = rows(seedream, "SELECT * FROM files")
        content = (seedream.cwd / path).read_bytes()
        assert file["path"] == str(seedream.cwd / path)
        assert file["sha256"] == hashlib.sha256(content).hexdigest()
        states = [row["status"] for row in rows(seedream, "SELECT status FROM states ORDER BY rowid")]
        assert states[:2] == ["unanswered", "pending"]
        assert states[-1] == "completed"
        assert seedream.state.stat().st_mode & 0o777 == 0o700
        for written in seedream.state.iterdir():
            assert b"sk-test" not in written.read_bytes()
            assert written.stat().st_mode & 0o777 == 0o600

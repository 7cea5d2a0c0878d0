"""`generate --image` and the images of an asset, from the file to the request."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path

import pytest
from support.create_requests import create_bodies
from support.images import JPEG, png
from support.program import Program, hint
from support.raw import RawServer, accepted, answer, success
from support.starting import StartRaw

from seedream_cli.sandbox.server import Sandbox


def data_uri(data: bytes, media_type: str = "image/png") -> str:
    return f"data:{media_type};base64,{b64encode(data).decode()}"


@pytest.fixture
def image(seedream: Program) -> Path:
    path = seedream.cwd / "a.png"
    path.write_bytes(png(9, 9))
    return path


def stored_bodies(seedream: Program) -> list[Path]:
    return sorted((seedream.state / "bodies").glob("*"))


class TestSourceImagesSent:
    def test_as_data_and_urls_to_edit_model(self, seedream: Program, sandbox: Sandbox, image: Path) -> None:
        (seedream.cwd / "b.jpg").write_bytes(JPEG)
        arguments = ("-i", "a.png", "--image", "https://x.test/c.webp?s=1", "-i", "b.jpg")
        done = seedream("generate", "as ink", *arguments, "-o", "fox.png")
        assert (done.exit_code, done.paths) == (0, ["fox.png"]), done.stderr
        [body] = create_bodies(sandbox)
        assert body["model"] == "seedream-v4.5-edit"
        assert body["image_urls"] == [
            data_uri(png(9, 9)),
            "https://x.test/c.webp?s=1",
            data_uri(JPEG, "image/jpeg"),
        ]
        assert stored_bodies(seedream) == []

    def test_from_stdin(self, seedream: Program, sandbox: Sandbox) -> None:
        assert seedream("generate", "as ink", "-i", "-", "--no-wait", stdin=png()).exit_code == 0
        assert create_bodies(sandbox)[0]["image_urls"] == [data_uri(png())]


class TestSourceImagesPrinted:
    def test_by_dry_run(self, seedream: Program, image: Path) -> None:
        done = seedream("generate", "x", "-i", "a.png", "--dry-run")
        [name] = done.document["requests"][0]["json"]["image_urls"]
        assert name.startswith(f"data:image/png;bytes={len(png(9, 9))};sha256=")
        assert "base64" not in done.stdout + done.stderr
        assert not seedream.state.exists()

    def test_by_json_and_status(self, seedream: Program, sandbox: Sandbox, image: Path) -> None:
        shown = seedream("generate", "x", "-i", "a.png", "--json").document["tasks"][0]["source_images"]
        assert shown == seedream("status", "--json").document["tasks"][0]["source_images"]
        assert [(one["url"], one["media_type"], one["bytes"]) for one in shown] == [
            (None, "image/png", len(png(9, 9)))
        ]
        for file in seedream.state.rglob("*.sqlite3*"):
            assert b"base64" not in file.read_bytes()


class TestSourceImagesRefused:
    @pytest.fixture(autouse=True)
    def nothing_is_sent_or_stored(self, seedream: Program, sandbox: Sandbox, image: Path) -> object:
        yield
        assert sandbox.requests == []
        assert stored_bodies(seedream) == []

    @pytest.mark.parametrize(
        "arguments",
        [
            *(["x", "-i", image] for image in ("nope.png", "ftp://x.test/a.png", "https://u:p@x.test/a.png")),
            ["x", *["-i", "a.png"] * 15],
            # Two readers of stdin, or stdin without an image.
            *(["-", "-i", "-"], ["x", "-i", "-", "--api-key-file", "-"], ["x", "-i", "-", "-i", "-"]),
            ["x", "-i", "-"],
            *(["--resume", "last", "-i", "a.png"], ["", "-i", "a.png"]),
        ],
    )
    def test_unusable_image(self, seedream: Program, arguments: list[str]) -> None:
        assert seedream("generate", *arguments, stdin="text").exit_code == 2

    def test_too_large_file(self, seedream: Program) -> None:
        (seedream.cwd / "large.png").write_bytes(png() + bytes(10_000_000))
        done = seedream("generate", "x", "-i", "large.png")
        assert done.exit_code == 2
        assert "large.png" in done.stderr


class TestSourceImagesResume:
    @pytest.fixture
    def unanswering(self, seedream: Program, start_raw: StartRaw, image: Path) -> RawServer:
        """A service that is unavailable for an hour at the first request, and accepts the next one."""
        busy = answer(503, {}, headers={"Retry-After": "3600"})
        server = start_raw(busy, accepted("task_1"), success({"status": "queued"}))
        seedream.use(server.base_url)
        return server

    def test_sends_same_body(self, seedream: Program, unanswering: RawServer, image: Path) -> None:
        first = seedream("generate", "x", "-i", "a.png", "--no-wait")
        assert first.exit_code == 7
        assert len(stored_bodies(seedream)) == 1
        image.write_bytes(JPEG)
        again = seedream(*hint(first), "--no-wait")
        assert (again.exit_code, again.stdout) == (0, "task_1\n")
        first_create, second_create = unanswering.requests[:2]
        assert first_create.body == second_create.body
        assert first_create.headers["idempotency-key"] == second_create.headers["idempotency-key"]
        assert stored_bodies(seedream) == []

    def test_without_stored_body_is_refused(self, seedream: Program, unanswering: RawServer) -> None:
        first = seedream("generate", "x", "-i", "a.png", "--no-wait")
        [body] = stored_bodies(seedream)
        body.unlink()
        again = seedream(*hint(first), "--no-wait")
        assert again.exit_code == 2
        assert len(unanswering.requests) == 1


class TestSourceImagesOfManifest:
    MANIFEST = '[assets.hero]\nprompt = "as ink"\nimages = ["a.png"]\n'

    def test_are_sent_and_change_is_drift(self, seedream: Program, sandbox: Sandbox, image: Path) -> None:
        (seedream.cwd / "seedream.toml").write_text(self.MANIFEST)
        done = seedream("sync")
        assert (done.exit_code, done.paths) == (0, ["hero.png"]), done.stderr
        [body] = create_bodies(sandbox)
        assert (body["model"], body["image_urls"]) == ("seedream-v4.5-edit", [data_uri(png(9, 9))])
        assert stored_bodies(seedream) == []
        assert seedream("sync", "--check").exit_code == 0
        image.write_bytes(png(9, 9, shade=1))
        assert seedream("sync", "--check").exit_code == 10
        assert len(create_bodies(sandbox)) == 1

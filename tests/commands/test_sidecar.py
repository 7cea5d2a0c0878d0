"""`generate --sidecar`: a complete description next to each image, which never replaces another file."""

from __future__ import annotations

import hashlib
import json
import re
from importlib.resources import files
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from support.images import png
from support.program import Program, hint
from support.raw import accepted, answer, success
from support.starting import StartRaw

import seedream_cli
from seedream_cli.sandbox.server import Sandbox

SCHEMA = json.loads(files("seedream_cli").joinpath("sidecar.schema.json").read_text(encoding="utf-8"))


def read_sidecar(seedream: Program, name: str) -> dict[str, Any]:
    document = json.loads((seedream.cwd / name).read_text(encoding="utf-8"))
    Draft202012Validator(SCHEMA).validate(document)
    assert isinstance(document, dict)
    return document


def test_sidecar_content(seedream: Program, sandbox: Sandbox) -> None:
    (seedream.cwd / "a.png").write_bytes(png(9, 9))
    (seedream.cwd / "seedream.toml").write_text('[styles]\nink = "brush and ink"\n')
    done = seedream(
        *("generate", "狐", "--details", "soft", "--style", "ink", "-a", "16:9", "-o", "fox.png"),
        *("-i", "a.png", "-i", "https://x.test/b.png?signature=secret", "--sidecar", "--json"),
        *("--callback-url", "https://x.test/hook?token=secret"),
    )
    [task] = done.document["tasks"]
    document = read_sidecar(seedream, "fox.png.json")
    assert document["prompt"] == "狐, soft, brush and ink"
    assert document["parts"] == {
        "subject": "狐",
        "details": "soft",
        "style": "brush and ink",
        "style_name": "ink",
    }
    assert (document["model"], document["aspect_ratio"]) == ("seedream-v4.5-edit", "16:9")
    assert document["source_images"] == [
        {
            "url": None,
            "media_type": "image/png",
            "bytes": len(png(9, 9)),
            "sha256": hashlib.sha256(png(9, 9)).hexdigest(),
        },
        {"url": "https://x.test/b.png", "media_type": None, "bytes": None, "sha256": None},
    ]
    shared = ("task_id", "operation", "request_id", "cost", "seconds", "quality")
    assert {name: document[name] for name in shared} == {name: task[name] for name in shared}
    [file] = task["files"]
    assert {name: document[name] for name in file if name != "path"} | {"path": file["path"]} == file
    assert document["program"] == f"seedream {seedream_cli.__version__}"
    text = (seedream.cwd / "fox.png.json").read_text(encoding="utf-8")
    assert not re.search("secret|signature|token|sk-test|base64", text)


def test_sidecar_for_each_image(seedream: Program, sandbox: Sandbox) -> None:
    done = seedream("generate", "fox", "-n", "2", "-o", "fox.png", "--sidecar")
    assert done.exit_code == 0
    tasks = {read_sidecar(seedream, f"fox-{number}.png.json")["task_id"] for number in (1, 2)}
    assert len(tasks) == 2


@pytest.mark.parametrize("command", [("download", "--pending"), ("generate", "--resume", "last")])
def test_sidecar_written_by_later_call(seedream: Program, sandbox: Sandbox, command: tuple[str, ...]) -> None:
    seedream("generate", "fox", "-o", "fox.png", "--sidecar", "--no-wait")
    assert seedream(*command).exit_code == 0
    assert read_sidecar(seedream, "fox.png.json")["file"] == "fox.png"


def test_sidecar_missing_is_written_by_download(seedream: Program, sandbox: Sandbox) -> None:
    task = seedream("generate", "fox", "-o", "fox.png", "--sidecar", "--json").document["tasks"][0]["task_id"]
    sidecar = seedream.cwd / "fox.png.json"
    before = (len(sandbox.requests), sidecar.stat().st_mtime_ns)
    assert seedream("download", task).exit_code == 0
    assert (len(sandbox.requests), sidecar.stat().st_mtime_ns) == before
    sidecar.unlink()
    assert seedream("download", task).exit_code == 0
    assert read_sidecar(seedream, "fox.png.json")["task_id"] == task
    assert len(sandbox.requests) == before[0]


@pytest.mark.parametrize(
    "content", ["{}", "mine", '{"sidecar": 1, "operation": "op_other000", "sha256": ""}']
)
class TestSidecarNameIsTaken:
    def test_is_refused_before_sending(self, seedream: Program, sandbox: Sandbox, content: str) -> None:
        (seedream.cwd / "fox.png.json").write_text(content)
        done = seedream("generate", "fox", "-o", "fox.png", "--sidecar")
        assert done.exit_code == 2
        assert "fox.png.json" in done.stderr
        assert sandbox.requests == []
        assert (seedream.cwd / "fox.png.json").read_text() == content

    def test_after_submit_keeps_file(self, seedream: Program, sandbox: Sandbox, content: str) -> None:
        seedream("generate", "fox", "-o", "fox.png", "--sidecar", "--no-wait")
        (seedream.cwd / "fox.png.json").write_text(content)
        done = seedream("download", "--pending")
        assert done.exit_code == 0
        assert "fox.png-2.json" in done.stderr
        assert (seedream.cwd / "fox.png.json").read_text() == content
        assert read_sidecar(seedream, "fox.png-2.json")["file"] == "fox.png"

    def test_is_replaced_with_overwrite(self, seedream: Program, sandbox: Sandbox, content: str) -> None:
        (seedream.cwd / "fox.png.json").write_text(content)
        assert seedream("generate", "fox", "-o", "fox.png", "--sidecar", "--overwrite").exit_code == 0
        assert read_sidecar(seedream, "fox.png.json")["file"] == "fox.png"


def test_sidecar_unwritable_keeps_image(seedream: Program, start_raw: StartRaw) -> None:
    image = start_raw(answer(200, png()))
    done = success({"status": "completed", "result": [f"{image.origin}/1"]})
    seedream.use(start_raw(accepted(), done).base_url)
    (seedream.cwd / "fox.png.json").mkdir()
    failed = seedream("generate", "fox", "-o", "fox.png", "--sidecar", "--overwrite")
    assert (failed.exit_code, failed.paths) == (9, ["fox.png"])
    (seedream.cwd / "fox.png.json").rmdir()
    assert seedream(*hint(failed)).exit_code == 0
    assert read_sidecar(seedream, "fox.png.json")["task_id"] == "task_1"


def test_sidecar_with_stdout_is_refused(seedream: Program, sandbox: Sandbox) -> None:
    assert seedream("generate", "fox", "-o", "-", "--sidecar").exit_code == 2
    assert sandbox.requests == []

"""Every document that the program prints is what the schema in the package says."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from importlib.resources import files
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from support.program import Program
from support.raw import RawServer, answer

from seedream_cli.sandbox.server import Sandbox


@pytest.fixture(scope="session")
def schema() -> Draft202012Validator:
    document = json.loads(files("seedream_cli").joinpath("output.schema.json").read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(document)
    return Draft202012Validator(document)


@pytest.fixture
def check(schema: Draft202012Validator) -> Callable[[dict[str, Any]], None]:
    def validate(document: dict[str, Any]) -> None:
        schema.validate(document)

    return validate


Check = Callable[[dict[str, Any]], None]

TASK = {
    *("task_id", "operation", "status", "progress", "model", "prompt", "aspect_ratio", "quality", "created"),
    *("source_images", "files", "cost", "request_id", "seconds", "error"),
}
FILE = {"path", "sha256", "bytes", "media_type", "width", "height"}
ERROR = {"code", "exit_code", "message", "detail", "hint", "http_status", "request_id", "task_id"}


def test_of_generate(seedream: Program, sandbox: Sandbox, check: Check) -> None:
    document = seedream("generate", "fox", "-o", "fox.png", "--json").document
    check(document)
    [task] = document["tasks"]
    assert set(task) == TASK
    assert set(task["files"][0]) == FILE
    assert task["files"][0]["path"] == str(seedream.cwd / "fox.png")
    assert (task["files"][0]["width"], task["files"][0]["height"]) == (4, 3)
    assert task["seconds"] > 0


def test_of_generate_without_waiting(seedream: Program, sandbox: Sandbox, check: Check) -> None:
    document = seedream("generate", "fox", "--no-wait", "--json").document
    check(document)
    assert document["tasks"][0]["status"] == "pending"


def test_of_status_and_its_list(seedream: Program, sandbox: Sandbox, check: Check) -> None:
    task = seedream("generate", "fox", "--json").document["tasks"][0]["task_id"]
    for arguments in (["status", task], ["status"]):
        document = seedream(*arguments, "--json").document
        check(document)
        assert set(document["tasks"][0]) == {*TASK, "result"}


def test_of_download(seedream: Program, sandbox: Sandbox, check: Check) -> None:
    task = seedream("generate", "fox", "--no-wait").stdout.strip()
    check(seedream("download", task, "--json").document)
    check(seedream("download", task, "task_nope", "--json").document)


def test_of_a_failure(seedream: Program, start_raw: Callable[..., RawServer], check: Check) -> None:
    refusal = {"error": {"message": "no", "code": "invalid_api_key"}}
    seedream.use(start_raw(answer(401, refusal, headers={"X-Request-ID": "req_1"})).base_url)
    document = seedream("generate", "fox", "--json").document
    check(document)
    assert document["error"] == {
        "code": "invalid_api_key",
        "exit_code": 4,
        "message": "the API refused the key (HTTP 401)",
        "detail": "no",
        "hint": "unset SEEDREAM_API_KEY && seedream config set api_key",
        "http_status": 401,
        "request_id": "req_1",
        "task_id": None,
    }
    assert document["tasks"][0]["status"] == "refused"


@pytest.mark.parametrize(
    "arguments",
    [["generate"], ["generate", "--nope"], ["download"], ["status", "--limit", "x"], ["nope"]],
)
def test_of_a_usage_error(seedream: Program, check: Check, arguments: list[str]) -> None:
    done = seedream(*arguments, "--json")
    assert done.exit_code == 2
    check(done.document)
    assert done.document["tasks"] == []
    assert set(done.document["error"]) == ERROR


@pytest.mark.parametrize(
    "arguments",
    [["config", "list"], ["config", "path"], ["config", "get", "model"], ["config", "get", "modle"]],
)
def test_of_commands_without_tasks(seedream: Program, check: Check, arguments: list[str]) -> None:
    document = seedream(*arguments, "--json").document
    check(document)
    assert "tasks" not in document


def test_of_a_dry_run(seedream: Program, check: Check) -> None:
    check(seedream("generate", "fox", "--dry-run", "--json").document)


def test_serves_json_tools(seedream: Program, sandbox: Sandbox) -> None:
    done = seedream.shell('seedream generate "狐" --json | python3 -m json.tool --no-ensure-ascii')
    assert done.exit_code == 0
    assert json.loads(done.stdout)["tasks"][0]["prompt"] == "狐"


def test_a_saved_image_has_the_permissions_of_any_new_file(seedream: Program, sandbox: Sandbox) -> None:
    seedream.shell("umask 022; seedream generate fox -o fox.png")
    assert stat.S_IMODE((seedream.cwd / "fox.png").stat().st_mode) == 0o644

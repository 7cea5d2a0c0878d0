"""The JSON documents of all commands match the schema in the package."""

from __future__ import annotations

import stat
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from support.documents import SCHEMA, VALIDATOR, validated
from support.program import Program
from support.project import Project
from support.raw import answer
from support.starting import StartRaw, StartSandbox

from seedream_cli.request_fields import IMAGE_FIELDS
from seedream_cli.sandbox.server import Sandbox
from seedream_cli.sync import executor, image_task
from seedream_cli.sync.plan_items import Action, State

TASK = {
    *("task_id", "operation", "status", "progress", "prompt", *IMAGE_FIELDS, "created"),
    *("source_images", "files", "cost", "request_id", "seconds", "error"),
}
FILE = {"path", "sha256", "bytes", "media_type", "width", "height"}
ERROR = {"code", "exit_code", "message", "detail", "hint", "http_status", "request_id", "task_id"}


def test_output_schema_is_valid() -> None:
    Draft202012Validator.check_schema(SCHEMA)


def test_generate_document_has_all_fields(seedream: Program, sandbox: Sandbox) -> None:
    document = validated(seedream("generate", "fox", "-o", "fox.png", "--json"))
    [task] = document["tasks"]
    assert set(task) == TASK
    assert set(task["files"][0]) == FILE
    assert task["files"][0]["path"] == str(seedream.cwd / "fox.png")
    assert (task["files"][0]["width"], task["files"][0]["height"]) == (4, 3)
    assert task["seconds"] >= 0


def test_status_and_download_documents_match_the_schema(seedream: Program, sandbox: Sandbox) -> None:
    [task] = validated(seedream("generate", "fox", "--no-wait", "--json"))["tasks"]
    assert task["status"] == "pending"
    for arguments in (["status", task["task_id"]], ["status"]):
        document = validated(seedream(*arguments, "--json"))
        assert set(document["tasks"][0]) == {*TASK, "result"}
    validated(seedream("download", task["task_id"], "--json"))
    validated(seedream("download", task["task_id"], "task_nope", "--json"), 6)


def test_error_of_the_api_is_in_the_document(seedream: Program, start_raw: StartRaw) -> None:
    refusal = {"error": {"message": "no", "code": "invalid_api_key"}}
    seedream.use(start_raw(answer(401, refusal, headers={"X-Request-ID": "req_1"})).base_url)
    document = validated(seedream("generate", "fox", "--json"), 4)
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
    "arguments", [["generate"], ["generate", "--nope"], ["status", "--limit", "x"], ["nope"]]
)
def test_usage_error_document_has_no_tasks(seedream: Program, arguments: list[str]) -> None:
    document = validated(seedream(*arguments, "--json"), 2)
    assert document["tasks"] == []
    assert set(document["error"]) == ERROR


@pytest.mark.parametrize(
    "words", ["list", "path", "get model", "get api_key", "set quality 4K", "unset quality"]
)
def test_config_documents_have_no_tasks(seedream: Program, words: str) -> None:
    assert "tasks" not in validated(seedream("config", *words.split(), "--json"))


def test_config_check_completion_and_dry_run_documents_match_the_schema(
    seedream: Program, sandbox: Sandbox
) -> None:
    assert validated(seedream("config", "check", "--json"))["check"]["key"]["setting"] == "api_key"
    stored = seedream("config", "set", "api_key", "-", "--json", stdin="sk-0123456789")
    assert validated(stored)["keyring"] is False
    assert "tasks" not in validated(seedream("config", "get", "modle", "--json"), 2)
    validated(seedream("completion", "fish", "--json"))
    validated(seedream("generate", "fox", "--dry-run", "--json"))


IN_STEP = '[assets.fox]\nprompt = "a fox"\n'
NEW = '[assets.owl]\nprompt = "an owl"\ncount = 2\n'


@pytest.fixture
def project(seedream: Program) -> Project:
    """Return a project of three images, one in step and two new."""
    project = Project(seedream, seedream.cwd)
    project.write(IN_STEP)
    project.settle()
    project.write(IN_STEP + NEW)
    return project


def counts(**some: int) -> dict[str, int]:
    """Return the counts of all states."""
    return {state: some.get(state, 0) for state in State}


@pytest.mark.parametrize(
    ("options", "exit_code"), [("--dry-run", 0), ("--check", 10), ("--frozen", 10), ("--max 1", 2)]
)
def test_sync_document_of_a_run_that_pays_for_nothing(
    project: Project, seedream: Program, options: str, exit_code: int
) -> None:
    seedream.use("http://127.0.0.1:1/v1")
    document = validated(project(*options.split(), "--json"), exit_code)
    assert (document["error"] or {"exit_code": 0})["exit_code"] == exit_code
    if options in ("--dry-run", "--check"):
        assert [image["state"] for image in document["images"]] == ["ok", "new", "new"]


def test_sync_document_has_the_error_of_a_failed_image(
    project: Project, seedream: Program, start_sandbox: StartSandbox
) -> None:
    seedream.use(start_sandbox(faults=["task-failed=1"]).base_url)
    (project.folder / "fox.png").write_bytes(b"edited")
    document = validated(project("--json"), 3)
    [failed] = [image for image in document["images"] if image["error"]]
    assert set(failed["error"]) == ERROR
    assert failed["error"]["exit_code"] == 3
    assert document["counts"] == counts(edited=1, new=2)


@pytest.mark.parametrize(
    ("manifest", "problems"), [('[assets.fox]\nprompt = "a fox"\ncuont = 2\n[asets]', 2), ("[assets.fox", 1)]
)
def test_sync_document_lists_the_problems_of_an_invalid_manifest(
    project: Project, manifest: str, problems: int
) -> None:
    project.write(manifest)
    document = validated(project("--json"), 2)
    assert document["images"] == []
    assert set(document["error"]) == {*ERROR, "problems"}
    assert len(document["error"]["problems"]) == problems


@pytest.mark.parametrize("arguments", ["--nope", "--shard 3/2", "nowhere.toml", "--only nobody"])
def test_sync_document_of_a_usage_error(project: Project, arguments: str) -> None:
    document = validated(project(*arguments.split(), "--json"), 2)
    assert document["images"] == []
    assert set(document["error"]) == ERROR


def test_schema_rejects_a_renamed_sync_field(project: Project) -> None:
    plan = project("--check", "--json").document
    project.write(IN_STEP + "unknown = 1")
    refused = project("--json").document
    places = [(plan, plan), (plan, plan["counts"]), *((plan, image) for image in plan["images"])]
    places += [(refused, refused["error"]), (refused, refused["error"]["problems"][0])]
    for document, place in places:
        for name in list(place):
            renamed = {f"{name}_": place.pop(name)}
            place |= renamed
            assert not VALIDATOR.is_valid(document), name
            place[name] = place.pop(f"{name}_")
            assert VALIDATOR.is_valid(document), name


@pytest.mark.parametrize(
    "document",
    [
        {"settings": []},
        {"styles": []},
        {"key": "model", "value": None},
        {"removed": True},
        {"key": "api_key", "keyring": False},
        {"shell": "fish"},
    ],
)
def test_schema_requires_fields_that_are_printed_together(document: dict[str, Any]) -> None:
    assert not VALIDATOR.is_valid({**document, "error": None})


def test_schema_has_the_words_of_sync() -> None:
    image, numbers = SCHEMA["$defs"]["image"]["properties"], SCHEMA["$defs"]["counts"]
    assert image["state"]["enum"] == numbers["required"] == list(State)
    assert image["action"]["enum"] == list(Action)
    done = {
        image_task.GENERATED,
        image_task.RESUMED,
        image_task.FETCHED,
        image_task.COPIED,
        *executor._DONE.values(),
        None,
    }
    assert set(image["done"]["enum"]) == done


def test_saved_image_has_the_permissions_of_the_umask(seedream: Program, sandbox: Sandbox) -> None:
    seedream.shell("umask 022; seedream generate fox -o fox.png")
    assert stat.S_IMODE((seedream.cwd / "fox.png").stat().st_mode) == 0o644

"""Every document that the program prints is what the schema in the package says."""

from __future__ import annotations

import json
import stat
from importlib.resources import files
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from support.program import Program, Result
from support.project import Project
from support.raw import answer
from support.starting import StartRaw, StartSandbox

from seedream_cli.request_fields import IMAGE_FIELDS
from seedream_cli.sandbox.server import Sandbox
from seedream_cli.sync import executor as run
from seedream_cli.sync import image_task as life
from seedream_cli.sync.plan_items import Action, State

SCHEMA = json.loads(files("seedream_cli").joinpath("output.schema.json").read_text(encoding="utf-8"))
VALIDATOR = Draft202012Validator(SCHEMA)


def checked(done: Result, exit_code: int = 0) -> dict[str, Any]:
    """Return the document of a call, which the schema allows and whose fields it all has."""
    assert done.exit_code == exit_code, done.stderr
    VALIDATOR.validate(done.document)
    assert set(done.document) <= set(SCHEMA["properties"])
    return done.document


TASK = {
    *("task_id", "operation", "status", "progress", "prompt", *IMAGE_FIELDS, "created"),
    *("source_images", "files", "cost", "request_id", "seconds", "error"),
}
FILE = {"path", "sha256", "bytes", "media_type", "width", "height"}
IMAGE = {
    *("name", "number", "state", "action", "done", "path", "task_id", "sha256", "bytes", "cost", "seconds"),
    "error",
}
ERROR = {"code", "exit_code", "message", "detail", "hint", "http_status", "request_id", "task_id"}


def test_it_is_a_schema() -> None:
    Draft202012Validator.check_schema(SCHEMA)


def test_of_generate(seedream: Program, sandbox: Sandbox) -> None:
    document = checked(seedream("generate", "fox", "-o", "fox.png", "--json"))
    [task] = document["tasks"]
    assert set(task) == TASK
    assert set(task["files"][0]) == FILE
    assert task["files"][0]["path"] == str(seedream.cwd / "fox.png")
    assert (task["files"][0]["width"], task["files"][0]["height"]) == (4, 3)
    assert task["seconds"] >= 0


def test_of_what_is_done_with_a_task(seedream: Program, sandbox: Sandbox) -> None:
    [task] = checked(seedream("generate", "fox", "--no-wait", "--json"))["tasks"]
    assert task["status"] == "pending"
    for arguments in (["status", task["task_id"]], ["status"]):
        document = checked(seedream(*arguments, "--json"))
        assert set(document["tasks"][0]) == {*TASK, "result"}
    checked(seedream("download", task["task_id"], "--json"))
    checked(seedream("download", task["task_id"], "task_nope", "--json"), 6)


def test_of_a_failure(seedream: Program, start_raw: StartRaw) -> None:
    refusal = {"error": {"message": "no", "code": "invalid_api_key"}}
    seedream.use(start_raw(answer(401, refusal, headers={"X-Request-ID": "req_1"})).base_url)
    document = checked(seedream("generate", "fox", "--json"), 4)
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
def test_of_a_usage_error(seedream: Program, arguments: list[str]) -> None:
    document = checked(seedream(*arguments, "--json"), 2)
    assert document["tasks"] == []
    assert set(document["error"]) == ERROR


@pytest.mark.parametrize(
    "words", ["list", "path", "get model", "get api_key", "set quality 4K", "unset quality"]
)
def test_of_config(seedream: Program, words: str) -> None:
    assert "tasks" not in checked(seedream("config", *words.split(), "--json"))


def test_of_other_commands(seedream: Program, sandbox: Sandbox) -> None:
    assert checked(seedream("config", "check", "--json"))["check"]["key"]["setting"] == "api_key"
    stored = seedream("config", "set", "api_key", "-", "--json", stdin="sk-0123456789")
    assert checked(stored)["keyring"] is False
    assert "tasks" not in checked(seedream("config", "get", "modle", "--json"), 2)
    checked(seedream("completion", "fish", "--json"))
    checked(seedream("generate", "fox", "--dry-run", "--json"))


SETTLED = '[assets.fox]\nprompt = "a fox"\n'
#: With this one more, not everything is in step any more.
NEW = '[assets.owl]\nprompt = "an owl"\ncount = 2\n'


@pytest.fixture
def project(seedream: Program) -> Project:
    """Of its images, one is in step and two are new."""
    project = Project(seedream, seedream.cwd)
    project.write(SETTLED)
    project.settle()
    project.write(SETTLED + NEW)
    return project


def counts(**some: int) -> dict[str, int]:
    return {state: some.get(state, 0) for state in State}


def test_of_sync(project: Project, sandbox: Sandbox) -> None:
    document = checked(project("--json"))
    assert set(document) == {"manifest", "lock", "to_pay", "counts", "images", "error"}
    assert [document["manifest"], document["lock"]] == [str(project.manifest), str(project.lock_file)]
    assert document["to_pay"] == 2
    assert document["counts"] == counts(ok=1, new=2)
    fox, first, second = document["images"]
    assert set(fox) == set(first) == IMAGE
    assert [fox["done"], first["done"]] == [None, "generated"]
    assert second["path"] == str(project.folder / "owl-2.png")
    assert second["sha256"] == project.sha256("owl-2.png")
    assert second["bytes"] == (project.folder / "owl-2.png").stat().st_size
    checked(project("--json"))


@pytest.mark.parametrize(
    ("options", "exit_code"), [("--dry-run", 0), ("--check", 10), ("--frozen", 10), ("--max 1", 2)]
)
def test_of_a_sync_that_pays_nothing(
    project: Project, seedream: Program, options: str, exit_code: int
) -> None:
    seedream.use("http://127.0.0.1:1/v1")
    document = checked(project(*options.split(), "--json"), exit_code)
    assert (document["error"] or {"exit_code": 0})["exit_code"] == exit_code
    if options in ("--dry-run", "--check"):
        assert [image["state"] for image in document["images"]] == ["ok", "new", "new"]


def test_of_a_sync_of_which_part_fails(
    project: Project, seedream: Program, start_sandbox: StartSandbox
) -> None:
    seedream.use(start_sandbox(faults=["task-failed=1"]).base_url)
    (project.folder / "fox.png").write_bytes(b"edited")
    document = checked(project("--json"), 3)
    [failed] = [image for image in document["images"] if image["error"]]
    assert set(failed["error"]) == ERROR
    assert failed["error"]["exit_code"] == 3
    assert document["counts"] == counts(edited=1, new=2)


@pytest.mark.parametrize(
    ("manifest", "problems"), [('[assets.fox]\nprompt = "a fox"\ncuont = 2\n[asets]', 2), ("[assets.fox", 1)]
)
def test_of_an_invalid_manifest(project: Project, manifest: str, problems: int) -> None:
    project.write(manifest)
    document = checked(project("--json"), 2)
    assert document["images"] == []
    assert set(document["error"]) == {*ERROR, "problems"}
    assert len(document["error"]["problems"]) == problems


@pytest.mark.parametrize("arguments", ["--nope", "--shard 3/2", "nowhere.toml", "--only nobody"])
def test_of_a_usage_error_of_sync(project: Project, arguments: str) -> None:
    document = checked(project(*arguments.split(), "--json"), 2)
    assert document["images"] == []
    assert set(document["error"]) == ERROR


def test_no_field_of_sync_can_be_renamed(project: Project) -> None:
    plan = project("--check", "--json").document
    project.write(SETTLED + "unknown = 1")
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
def test_fields_that_are_printed_together_require_each_other(document: dict[str, Any]) -> None:
    assert not VALIDATOR.is_valid({**document, "error": None})


def test_its_words_are_the_programs() -> None:
    image, numbers = SCHEMA["$defs"]["image"]["properties"], SCHEMA["$defs"]["counts"]
    assert image["state"]["enum"] == numbers["required"] == list(State)
    assert image["action"]["enum"] == list(Action)
    done = {life.GENERATED, life.RESUMED, life.FETCHED, life.COPIED, *run._DONE.values(), None}
    assert set(image["done"]["enum"]) == done


def test_a_saved_image_has_the_permissions_of_any_new_file(seedream: Program, sandbox: Sandbox) -> None:
    seedream.shell("umask 022; seedream generate fox -o fox.png")
    assert stat.S_IMODE((seedream.cwd / "fox.png").stat().st_mode) == 0o644

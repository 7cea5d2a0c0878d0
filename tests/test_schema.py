"""Every document that the program prints is what the schema in the package says."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from importlib.resources import files
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from support.program import Program, Result
from support.project import Project
from support.raw import RawServer, answer

from seedream_cli.sandbox.server import Sandbox
from seedream_cli.sync import life, run
from seedream_cli.sync.items import Action, State


def written() -> Any:
    return json.loads(files("seedream_cli").joinpath("output.schema.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def schema() -> Draft202012Validator:
    Draft202012Validator.check_schema(written())
    return Draft202012Validator(written())


@pytest.fixture
def check(schema: Draft202012Validator) -> Callable[[dict[str, Any]], None]:
    def validate(document: dict[str, Any]) -> None:
        schema.validate(document)
        # The schema allows for fields of later versions; those of this one are all in it.
        assert set(document) <= set(written()["properties"])

    return validate


Check = Callable[[dict[str, Any]], None]

TASK = {
    *("task_id", "operation", "status", "progress", "model", "prompt", "aspect_ratio", "quality", "created"),
    *("source_images", "files", "cost", "request_id", "seconds", "error"),
}
FILE = {"path", "sha256", "bytes", "media_type", "width", "height"}
IMAGE = {
    *("name", "number", "state", "action", "done", "path", "task_id", "sha256", "bytes", "cost", "seconds"),
    "error",
}
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
    [
        ["config", "list"],
        ["config", "path"],
        ["config", "get", "model"],
        ["config", "get", "api_key"],
        ["config", "get", "modle"],
        ["config", "set", "quality", "4K"],
        ["config", "unset", "quality"],
        ["completion", "fish"],
    ],
)
def test_of_commands_without_tasks(seedream: Program, check: Check, arguments: list[str]) -> None:
    document = seedream(*arguments, "--json").document
    check(document)
    assert "tasks" not in document


def test_of_a_check(seedream: Program, sandbox: Sandbox, check: Check) -> None:
    document = seedream("config", "check", "--json").document
    check(document)
    assert document["check"]["key"]["setting"] == "api_key"


def test_of_a_key_that_is_stored(seedream: Program, check: Check) -> None:
    document = seedream("config", "set", "api_key", "-", "--json", stdin="sk-0123456789").document
    check(document)
    assert document["keyring"] is False


def test_of_a_dry_run(seedream: Program, check: Check) -> None:
    check(seedream("generate", "fox", "--dry-run", "--json").document)


SETTLED = '[assets.fox]\nprompt = "a fox"\n'
#: With this one more, not everything is in step any more.
NEW = '[assets.owl]\nprompt = "an owl"\ncount = 2\n'


@pytest.fixture
def project(forked: Callable[..., Result], seedream: Program) -> Project:
    """Of its images, one is in step and two are new."""
    project = Project(forked, seedream.cwd)
    project.write(SETTLED)
    project.settle()
    project.write(SETTLED + NEW)
    return project


def counts(**some: int) -> dict[str, int]:
    return {state: some.get(state, 0) for state in State}


def test_of_sync(project: Project, sandbox: Sandbox, check: Check) -> None:
    document = project("--json").document
    check(document)
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
    check(project("--json").document)


@pytest.mark.parametrize(("option", "exit_code"), [("--dry-run", 0), ("--check", 10)])
def test_of_a_plan_of_sync(project: Project, check: Check, option: str, exit_code: int) -> None:
    done = project(option, "--json")
    assert done.exit_code == exit_code
    check(done.document)
    assert [image["state"] for image in done.document["images"]] == ["ok", "new", "new"]


@pytest.mark.parametrize(("options", "exit_code"), [(["--frozen"], 10), (["--max", "1"], 2)])
def test_of_a_sync_that_would_pay_too_much(
    project: Project, check: Check, options: list[str], exit_code: int
) -> None:
    done = project(*options, "--json")
    assert done.exit_code == done.document["error"]["exit_code"] == exit_code
    check(done.document)


def test_of_a_sync_of_which_part_fails(
    project: Project, seedream: Program, start_sandbox: Callable[..., Sandbox], check: Check
) -> None:
    seedream.use(start_sandbox(seconds=0, faults=["task-failed=1"]).base_url)
    (project.folder / "fox.png").write_bytes(b"edited")
    done = project("--json")
    assert done.exit_code == 3
    check(done.document)
    [failed] = [image for image in done.document["images"] if image["error"]]
    assert set(failed["error"]) == ERROR
    assert failed["error"]["exit_code"] == 3
    assert done.document["counts"] == counts(edited=1, new=2)


@pytest.mark.parametrize(
    ("manifest", "problems"),
    [
        ('[assets.fox]\nprompt = "a {fox}"', 1),
        ('[assets.fox]\nprompt = "a fox"\ncuont = 2\n[asets]', 2),
        ("[assets.fox", 1),
    ],
)
def test_of_an_invalid_manifest(project: Project, check: Check, manifest: str, problems: int) -> None:
    project.write(manifest)
    done = project("--json")
    assert done.exit_code == 2
    check(done.document)
    assert done.document["images"] == []
    assert set(done.document["error"]) == {*ERROR, "problems"}
    assert len(done.document["error"]["problems"]) == problems


def test_of_an_invalid_lock(project: Project, check: Check) -> None:
    project.lock_file.write_text("{}\nnonsense\n", encoding="utf-8")
    document = project("--json").document
    check(document)
    assert {problem["line"] for problem in document["error"]["problems"]} == {1, 2}


@pytest.mark.parametrize(
    "arguments",
    [["--nope"], ["--shard", "3/2"], ["--check", "--force"], ["nowhere.toml"], ["--only", "nobody"]],
)
def test_of_a_usage_error_of_sync(project: Project, check: Check, arguments: list[str]) -> None:
    done = project(*arguments, "--json")
    assert done.exit_code == 2
    check(done.document)
    assert done.document["images"] == []
    assert set(done.document["error"]) == ERROR


def test_no_field_of_sync_can_be_renamed(project: Project, schema: Draft202012Validator) -> None:
    plan = project("--check", "--json").document
    project.write(SETTLED + "unknown = 1")
    refused = project("--json").document
    places = [(plan, plan), (plan, plan["counts"]), *((plan, image) for image in plan["images"])]
    places += [(refused, refused["error"]), (refused, refused["error"]["problems"][0])]
    for document, place in places:
        for name in list(place):
            renamed = {f"{name}_": place.pop(name)}
            place |= renamed
            assert not schema.is_valid(document), name
            place[name] = place.pop(f"{name}_")
            assert schema.is_valid(document), name


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
def test_fields_that_are_printed_together_require_each_other(
    schema: Draft202012Validator, document: dict[str, Any]
) -> None:
    assert not schema.is_valid({**document, "error": None})


def test_its_words_are_the_programs() -> None:
    schema = written()
    image, numbers = schema["$defs"]["image"]["properties"], schema["$defs"]["counts"]
    assert image["state"]["enum"] == numbers["required"] == list(State)
    assert image["action"]["enum"] == list(Action)
    done = {life.GENERATED, life.RESUMED, life.FETCHED, life.COPIED, *run._DONE.values(), None}
    assert set(image["done"]["enum"]) == done


def test_serves_json_tools(seedream: Program, sandbox: Sandbox) -> None:
    done = seedream.shell('seedream generate "狐" --json | python3 -m json.tool --no-ensure-ascii')
    assert done.exit_code == 0
    assert json.loads(done.stdout)["tasks"][0]["prompt"] == "狐"


def test_a_saved_image_has_the_permissions_of_any_new_file(seedream: Program, sandbox: Sandbox) -> None:
    seedream.shell("umask 022; seedream generate fox -o fox.png")
    assert stat.S_IMODE((seedream.cwd / "fox.png").stat().st_mode) == 0o644

"""Each request field, from the option to the body, the history, the documents and the manifest."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from support.program import Program
from support.request_values import VALUES
from support.tasks import operation

from seedream_cli.catalog import MODELS
from seedream_cli.errors import ExitCode, HistoryUnusable, InvalidRequest
from seedream_cli.history.store import History
from seedream_cli.models import GenerationRequest
from seedream_cli.output.documents import TaskDocument
from seedream_cli.request_fields import IMAGE_FIELDS, REQUEST_FIELDS, RequestField, parse_whole_number
from seedream_cli.sandbox.responses import ApiError
from seedream_cli.sandbox.server import Sandbox
from seedream_cli.sandbox.validation import check
from seedream_cli.settings.schema import SETTINGS
from seedream_cli.sync.asset_parser import AssetParser
from seedream_cli.sync.assets import digest_of
from seedream_cli.sync.diagnostics import DiagnosticCollector
from seedream_cli.sync.manifest_keys import ASSET_KEYS, DEFAULTS_KEYS
from seedream_cli.tasks.sidecar import SidecarDocument


def request_with(name: str, value: Any, **others: Any) -> GenerationRequest:
    return GenerationRequest("a fox", **{name: value}, **others)


def option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def create_body(sandbox: Sandbox) -> dict[str, Any]:
    [create] = [request for request in sandbox.requests if request.method == "POST"]
    body: dict[str, Any] = json.loads(create.body)
    return body


def test_request_fields_are_the_attributes_of_a_request() -> None:
    defaults = dict(
        zip(GenerationRequest.__struct_fields__[1:], GenerationRequest.__struct_defaults__, strict=True)
    )
    assert defaults == {**{name: field.default for name, field in REQUEST_FIELDS.items()}, "image_urls": ()}
    assert VALUES.keys() == REQUEST_FIELDS.keys()
    assert all(VALUES[name] != field.default for name, field in REQUEST_FIELDS.items())


def test_request_fields_are_settings() -> None:
    for name, field in REQUEST_FIELDS.items():
        assert (SETTINGS[name].default, SETTINGS[name].parse) == (field.default, field.parse)
        assert SETTINGS[name].in_project


def test_documents_and_manifest_have_every_image_field() -> None:
    for document in (TaskDocument, SidecarDocument):
        assert IMAGE_FIELDS.keys() <= set(document.__struct_fields__)
    assert IMAGE_FIELDS.keys() <= set(ASSET_KEYS)
    assert REQUEST_FIELDS.keys() <= set(DEFAULTS_KEYS)


@pytest.mark.parametrize("name", REQUEST_FIELDS)
def test_request_field_survives_body_and_history(tmp_path: Path, name: str) -> None:
    request = request_with(name, VALUES[name])
    assert request.body()[name] == VALUES[name]
    assert GenerationRequest.from_body(request.body()) == request
    with_images = GenerationRequest(
        "a fox", image_urls=("https://example.com/a.png",), **{name: VALUES[name]}
    )
    assert GenerationRequest.from_body(with_images.body()) == with_images
    history = History(tmp_path / "history.sqlite3", now=time.time)
    recorded = history.record(operation(tmp_path, request=request))
    assert history.find(recorded.service, recorded.id) == recorded
    history.close()


@pytest.mark.parametrize("name", REQUEST_FIELDS)
def test_request_field_of_a_wrong_type_is_refused_by_the_history(tmp_path: Path, name: str) -> None:
    history = History(tmp_path / "history.sqlite3", now=time.time)
    wrong = operation(tmp_path, request=request_with(name, ["a list"]))
    history.record(wrong)
    with pytest.raises(HistoryUnusable) as raised:
        history.find(wrong.service, wrong.id)
    assert f"({name})" in str(raised.value.detail)
    history.close()


@pytest.mark.parametrize("name", REQUEST_FIELDS)
def test_digest_of_sync_depends_on_fields_that_change_the_image(name: str) -> None:
    changed = request_with(name, VALUES[name])
    differs = digest_of(changed) != digest_of(GenerationRequest("a fox"))
    assert differs is REQUEST_FIELDS[name].changes_image


@pytest.mark.parametrize("name", REQUEST_FIELDS)
def test_request_field_without_a_value_is_refused(name: str) -> None:
    with pytest.raises(InvalidRequest, match=REQUEST_FIELDS[name].label):
        request_with(name, "").validate()


@pytest.mark.parametrize("name", REQUEST_FIELDS)
def test_request_field_is_refused_for_models_that_do_not_take_it(name: str) -> None:
    field = REQUEST_FIELDS[name]
    for row in MODELS.values():
        supported = field.models is None or row.name in field.models
        accepted = field.accepted_by is None or VALUES[name] in tuple(field.accepted_by(row))
        if supported and accepted:
            field.check(VALUES[name], row)
        else:
            with pytest.raises(InvalidRequest, match=row.name if field.choices else field.name):
                field.check(VALUES[name], row)
        field.check(None if field.default is None else field.default, None)


@pytest.mark.parametrize("source", ["option", "environment", "config file", "project file"])
@pytest.mark.parametrize("name", REQUEST_FIELDS)
def test_generate_sends_request_field(seedream: Program, sandbox: Sandbox, name: str, source: str) -> None:
    arguments: list[str] = []
    env: dict[str, str] = {}
    match source:
        case "option":
            arguments = [option(name), str(VALUES[name])]
        case "environment":
            env = {f"SEEDREAM_{name.upper()}": str(VALUES[name])}
        case "config file":
            assert seedream("config", "set", name, str(VALUES[name])).exit_code == ExitCode.OK
        case "project file":
            value = json.dumps(VALUES[name])
            (seedream.cwd / "seedream.toml").write_text(f"[defaults]\n{name} = {value}\n")
    done = seedream("generate", "a fox", "--json", "--sidecar", *arguments, env=env)
    assert done.exit_code == ExitCode.OK, done.stderr
    assert create_body(sandbox)[name] == VALUES[name]
    [task] = done.document["tasks"]
    if REQUEST_FIELDS[name].changes_image:
        assert task[name] == VALUES[name]
        [sidecar] = seedream.cwd.glob("*.png.json")
        assert json.loads(sidecar.read_text())[name] == VALUES[name]


def test_callback_url_of_a_setting_is_refused_with_its_origin(seedream: Program, sandbox: Sandbox) -> None:
    arguments = ("generate", "a fox", "--model", "seedream-5.0-lite")
    env = {"SEEDREAM_CALLBACK_URL": VALUES["callback_url"]}
    refused = seedream(*arguments, env=env)
    assert refused.exit_code == ExitCode.USAGE
    assert "callback_url, which comes from environment: SEEDREAM_CALLBACK_URL" in refused.stderr
    by_option = seedream(*arguments, "--callback-url", VALUES["callback_url"])
    assert by_option.exit_code == ExitCode.USAGE
    assert "does not support callback_url\n" in by_option.stderr
    assert sandbox.requests == []


@pytest.mark.parametrize("name", REQUEST_FIELDS)
def test_resume_sends_request_field_again_under_the_same_key(
    seedream: Program, start_sandbox: Any, name: str
) -> None:
    seedream.use(start_sandbox(faults=("submit-drop-before=9",)).base_url)
    first = seedream("generate", "a fox", option(name), str(VALUES[name]))
    assert first.exit_code == ExitCode.UNAVAILABLE
    reachable = start_sandbox()
    seedream.use(reachable.base_url)
    done = seedream("generate", "--resume", "last")
    assert done.exit_code == ExitCode.OK, done.stderr
    assert create_body(reachable)[name] == VALUES[name]


@pytest.mark.parametrize("name", REQUEST_FIELDS)
def test_resume_refuses_option_of_request_field(seedream: Program, sandbox: Sandbox, name: str) -> None:
    done = seedream("generate", "--resume", "last", option(name), str(VALUES[name]))
    assert done.exit_code == ExitCode.USAGE
    assert "--resume" in done.stderr


@pytest.mark.parametrize("table", ["assets.fox", "defaults"])
@pytest.mark.parametrize("name", IMAGE_FIELDS)
def test_sync_sends_request_field_of_manifest(
    seedream: Program, sandbox: Sandbox, name: str, table: str
) -> None:
    value = json.dumps(VALUES[name])
    manifest = f"[{table}]\n{name} = {value}\n"
    (seedream.cwd / "seedream.toml").write_text(
        f'{manifest}prompt = "a fox"\n'
        if table != "defaults"
        else f'{manifest}[assets.fox]\nprompt = "a fox"\n'
    )
    done = seedream("sync")
    assert done.exit_code == ExitCode.OK, done.stderr
    assert create_body(sandbox)[name] == VALUES[name]


@pytest.mark.parametrize("name", REQUEST_FIELDS)
def test_sandbox_refuses_wrong_request_field(name: str) -> None:
    with pytest.raises(ApiError):
        check({"prompt": "a fox", name: ["a list"]}, "live")
    models = REQUEST_FIELDS[name].models
    for row in MODELS.values():
        images = {"image_urls": ["https://example.com/a.png"]} if row.needs_images else {}
        body = {"prompt": "a fox", "model": row.name, **images, name: VALUES[name]}
        if models is not None and row.name not in models:
            with pytest.raises(ApiError, match=f"{name} is not supported"):
                check(body, "live")


@pytest.mark.parametrize("name", [name for name, field in REQUEST_FIELDS.items() if field.choices])
def test_completion_offers_choices_of_request_field(seedream: Program, name: str) -> None:
    done = seedream("completion", "--list=", "--", "generate", option(name))
    offered = {line.split("\t")[0] for line in done.stdout.splitlines()}
    assert offered >= set(REQUEST_FIELDS[name].choices)


def test_whole_number_field_is_parsed_and_checked(tmp_path: Path) -> None:
    field = RequestField("seed", "a seed", parse_whole_number)
    assert field.type is int
    assert field.parse("42") == 42
    for text in ("", "-1", "1.5", "x", "9" * 19, "٣"):
        with pytest.raises(ValueError, match="whole number"):
            field.parse(text)
    diagnostics = DiagnosticCollector("[assets.fox]", "seedream.toml")
    parser = AssetParser(diagnostics, tmp_path)
    keys = ("assets", "fox")
    assert (parser._value(keys, {"seed": 42}, field), parser._value(keys, {}, field)) == (42, None)
    parser.defaults["seed"] = "7"
    assert parser._value(keys, {}, field) == 7
    assert diagnostics.problems == []
    for wrong in (True, 1.5, -1, "42", [1]):
        assert not field.is_valid(wrong)
        parser._value(keys, {"seed": wrong}, field)
        assert "not a whole number" in str(diagnostics.problems.pop())

"""Generate the JSON Schemas of the documents that the program prints, writes and reads."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from seedream_cli.catalog import MODELS, Model
from seedream_cli.errors import InvalidManifest
from seedream_cli.output.documents import Document
from seedream_cli.request_fields import IMAGE_FIELDS, RequestField
from seedream_cli.settings.schema import SETTINGS
from seedream_cli.sync.manifest_keys import DEFAULTS_KEYS, ManifestTables
from seedream_cli.tasks.sidecar import SidecarDocument

Schema = dict[str, Any]


def output_schema() -> Schema:
    """Return one schema for all documents of ``--json``.

    A call prints one of several documents, which differ in their fields. ``dependentRequired`` makes each
    field require the others that are in every document with it.
    """
    documents, definitions = _schemas_of(Document, *Document.__subclasses__())
    properties: Schema = {}
    together: dict[str, set[str]] = {}
    for document in documents:
        required = document.get("required", [])
        for name, field in document["properties"].items():
            assert properties.setdefault(name, field) == field, f"{name} has two meanings"  # noqa: S101
            together[name] = together.get(name, set(required)) & set(required)
    # Every document ends with it.
    properties["error"] = properties.pop("error")
    # Only the error of an invalid manifest lists its problems.
    definitions["error"] |= {
        "if": {"properties": {"code": {"const": InvalidManifest.default_code}}},
        "then": {"required": ["problems"]},
    }
    return {
        **_head(
            "What seedream prints with --json",
            "One document per call. Fields are added in later versions, never renamed or removed.",
        ),
        "type": "object",
        "properties": properties,
        "required": ["error"],
        "dependentRequired": {
            name: [other for other in properties if other in others - {name}]
            for name in properties
            if (others := together[name]) - {name}
        },
        "$defs": definitions,
    }


def sidecar_schema() -> Schema:
    """Return the schema of the files that --sidecar writes."""
    [document], definitions = _schemas_of(SidecarDocument)
    title = "FILE.json beside an image (seedream generate --sidecar)"
    return {**_head(title, document.pop("description")), **document, "$defs": definitions}


def manifest_schema() -> Schema:
    """Return the schema of seedream.toml, with values for an editor's completion."""
    [manifest], definitions = _schemas_of(ManifestTables)
    asset = definitions["asset"]
    for name, field in IMAGE_FIELDS.items():
        # The [defaults] refer to the same definition.
        schema = asset["properties"][name]
        definitions[name] = _with_values(schema, _values_of(field)) if field.choices else schema
        asset["properties"][name] = {"$ref": f"#/$defs/{name}"}
    asset["oneOf"] = [{"required": ["prompt"]}, {"required": ["prompt_file"]}]
    asset["allOf"] = [_model_rule(model) for model in MODELS.values()]
    definitions["defaults"] = {
        **manifest["properties"]["defaults"],
        "properties": {name: _default_schema(name) for name in DEFAULTS_KEYS},
        "additionalProperties": False,
    }
    manifest["properties"]["defaults"] = {"$ref": "#/$defs/defaults"}
    head = _head("seedream.toml", manifest.pop("description"))
    return {**head, **manifest, "$defs": definitions}


def text(schema: Schema) -> str:
    """Return the schema as the text of its file."""
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _values_of(field: RequestField) -> Mapping[str, str]:
    """Return the known values of a field, each with a description."""
    if field.name == "model":
        return {
            name: f"{model.what}; prompts to {model.prompt_limit} characters; {', '.join(model.qualities)}"
            for name, model in MODELS.items()
        }
    return field.choices


def _with_values(schema: Schema, values: Mapping[str, str]) -> Schema:
    """Return the schema of a string for which editors suggest these values. Any other value is valid too."""
    suggested = [{"const": value, "description": what} for value, what in values.items()]
    shared = {name: schema.pop(name) for name in ("description", "default")}
    return {"description": shared["description"], "anyOf": [{"oneOf": suggested}, schema]} | shared


def _model_rule(model: Model) -> Schema:
    """Return the constraints of the API on an asset that names this model."""
    properties: Schema = {
        name: {"enum": list(field.accepted_by(model))}
        for name, field in IMAGE_FIELDS.items()
        if field.accepted_by is not None
    }
    then: Schema = {"properties": properties}
    if model.needs_images:
        properties["images"] = {"minItems": 1}
        then["required"] = ["images"]
    return {"if": {"properties": {"model": {"const": model.name}}, "required": ["model"]}, "then": then}


def _default_schema(name: str) -> Schema:
    """Return the schema of a key of [defaults]."""
    if name == "dir":
        what = "The folder of the images, within the project: the value of {dir} in a path."
        return {"description": what, "type": "string", "minLength": 1, "default": "."}
    if name in IMAGE_FIELDS:
        return {"$ref": f"#/$defs/{name}"}
    setting = SETTINGS[name]
    is_number = setting.default is not None and not isinstance(setting.parse(setting.default), str)
    kind = {"type": ["string", "number"]} if is_number else {"type": "string", "pattern": r"\S"}
    return {"description": f"{setting.description[0].upper()}{setting.description[1:]}.", **kind}


def _head(title: str, description: str) -> Schema:
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": title,
        "description": description,
    }


def _schemas_of(*classes: type[msgspec.Struct]) -> tuple[list[Schema], dict[str, Schema]]:
    """Return the schemas of these classes, and the definitions of all classes that they refer to, by name.

    A reference to ``TaskDocument`` becomes ``#/$defs/task``.
    """
    _, components = msgspec.json.schema_components(classes, ref_template="#/$defs/{name}")
    names = {name: _definition_name(name) for name in components}
    schemas = {name: _simplified(schema, names) for name, schema in components.items()}
    own = [schemas.pop(class_.__name__) for class_ in classes]
    return own, {names[name]: schema for name, schema in schemas.items()}


def _definition_name(name: str) -> str:
    name = re.sub("(Document|Table)$", "", name)
    return re.sub("(?<=[a-z])(?=[A-Z])", "_", name).lower()


def _simplified(value: Any, names: Mapping[str, str]) -> Any:
    """Rename definitions, drop the names of classes, and write ``str | None`` as a list of types."""
    if isinstance(value, list):
        return [_simplified(item, names) for item in value]
    if not isinstance(value, dict):
        return value
    schema = {
        key: _simplified(item, names)
        for key, item in value.items()
        # A dict is the schema of a field that is called title.
        if (key != "title" or isinstance(item, dict)) and (key, item) != ("required", [])
    }
    if "$ref" in schema:
        schema["$ref"] = "#/$defs/" + names[schema["$ref"].rpartition("/")[2]]
    match schema.get("anyOf"):
        case [{"type": str(kind)} as one, {"type": "null"}]:
            del schema["anyOf"]
            schema |= {**one, "type": [kind, "null"]}
            if "enum" in one:
                schema["enum"] = [*one["enum"], None]
    return schema

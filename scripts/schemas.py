"""The JSON Schemas of what the program prints and reads, from its classes and tables."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from seedream_cli.catalog import MODELS, Model
from seedream_cli.output.documents import Document
from seedream_cli.request_fields import IMAGE_FIELDS, RequestField
from seedream_cli.settings.schema import SETTINGS
from seedream_cli.sync.diagnostics import InvalidManifest
from seedream_cli.sync.manifest_keys import DEFAULTS_KEYS, ManifestTables
from seedream_cli.tasks.sidecar import SidecarDocument

Schema = dict[str, Any]


def output_schema() -> Schema:
    """Return the schema of all documents of ``--json`` in one.

    A call prints one of several documents. They are told apart by their fields: each field requires the
    others that are in every document with it.
    """
    documents, definitions = _schemas_of(Document, *Document.__subclasses__())
    properties: Schema = {}
    together: dict[str, set[str]] = {}
    for document in documents:
        required = document.get("required", [])
        for name, field in document["properties"].items():
            assert properties.setdefault(name, field) == field, f"{name} has two meanings"  # noqa: S101
            together[name] = together.get(name, set(required)) & set(required)
    # The only field that every document ends in.
    properties["error"] = properties.pop("error")
    # What is wrong with a manifest is told problem by problem.
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
    [document], definitions = _schemas_of(SidecarDocument)
    title = "FILE.json beside an image (seedream generate --sidecar)"
    return {**_head(title, document.pop("description")), **document, "$defs": definitions}


def manifest_schema() -> Schema:
    """Return the schema of seedream.toml, with the values that an editor offers."""
    [manifest], definitions = _schemas_of(ManifestTables)
    asset = definitions["asset"]
    for name, field in IMAGE_FIELDS.items():
        # Assets and defaults share it.
        schema = asset["properties"][name]
        definitions[name] = _with_values(schema, _values_of(field)) if field.choices else schema
        asset["properties"][name] = {"$ref": f"#/$defs/{name}"}
    asset["oneOf"] = [{"required": ["prompt"]}, {"required": ["prompt_file"]}]
    asset["allOf"] = [_rule_of(row) for row in MODELS.values()]
    definitions["defaults"] = {
        **manifest["properties"]["defaults"],
        "properties": {name: _default(name) for name in DEFAULTS_KEYS},
        "additionalProperties": False,
    }
    manifest["properties"]["defaults"] = {"$ref": "#/$defs/defaults"}
    head = _head("seedream.toml", manifest.pop("description"))
    return {**head, **manifest, "$defs": definitions}


def text(schema: Schema) -> str:
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _values_of(field: RequestField) -> Mapping[str, str]:
    """Return the values of a field that an editor offers, each with a description."""
    if field.name == "model":
        return {
            row.name: f"{row.what}; prompts to {row.prompt_limit} characters; {', '.join(row.qualities)}"
            for row in MODELS.values()
        }
    return field.choices


def _with_values(key: Schema, values: Mapping[str, str]) -> Schema:
    """Return the schema of a text for which an editor offers these values; any other is valid too."""
    offered = [{"const": value, "description": what} for value, what in values.items()]
    shared = {name: key.pop(name) for name in ("description", "default")}
    return {"description": shared["description"], "anyOf": [{"oneOf": offered}, key]} | shared


def _rule_of(row: Model) -> Schema:
    """Return what the API demands of an asset that names this model."""
    properties: Schema = {
        name: {"enum": list(field.accepted_by(row))}
        for name, field in IMAGE_FIELDS.items()
        if field.accepted_by is not None
    }
    then: Schema = {"properties": properties}
    if row.needs_images:
        properties["images"] = {"minItems": 1}
        then["required"] = ["images"]
    return {"if": {"properties": {"model": {"const": row.name}}, "required": ["model"]}, "then": then}


def _default(name: str) -> Schema:
    if name == "dir":
        what = "The folder of the images, within the project: the value of {dir} in a path."
        return {"description": what, "type": "string", "minLength": 1, "default": "."}
    if name in IMAGE_FIELDS:
        return {"$ref": f"#/$defs/{name}"}
    key = SETTINGS[name]
    is_number = key.default is not None and not isinstance(key.parse(key.default), str)
    kind = {"type": ["string", "number"]} if is_number else {"type": "string", "pattern": r"\S"}
    return {"description": f"{key.what[0].upper()}{key.what[1:]}.", **kind}


def _head(title: str, description: str) -> Schema:
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": title,
        "description": description,
    }


def _schemas_of(*classes: type[msgspec.Struct]) -> tuple[list[Schema], dict[str, Schema]]:
    """Return the schemas of these classes, and of the others that they refer to by name.

    ``TaskDocument`` becomes ``#/$defs/task``.
    """
    _, components = msgspec.json.schema_components(classes, ref_template="#/$defs/{name}")
    names = {name: _definition_name(name) for name in components}
    schemas = {name: _tidied(schema, names) for name, schema in components.items()}
    own = [schemas.pop(each.__name__) for each in classes]
    return own, {names[name]: schema for name, schema in schemas.items()}


def _definition_name(name: str) -> str:
    name = re.sub("(Document|Table)$", "", name)
    return re.sub("(?<=[a-z])(?=[A-Z])", "_", name).lower()


def _tidied(value: Any, names: Mapping[str, str]) -> Any:
    """Rename definitions, drop the names of classes, and write ``str | None`` as one list of types."""
    if isinstance(value, list):
        return [_tidied(each, names) for each in value]
    if not isinstance(value, dict):
        return value
    found = {
        name: _tidied(each, names)
        for name, each in value.items()
        # A field may be called title.
        if (name != "title" or isinstance(each, dict)) and (name, each) != ("required", [])
    }
    if "$ref" in found:
        found["$ref"] = "#/$defs/" + names[found["$ref"].rpartition("/")[2]]
    match found.get("anyOf"):
        case [{"type": str(kind)} as one, {"type": "null"}]:
            del found["anyOf"]
            found |= {**one, "type": [kind, "null"]}
            if "enum" in one:
                found["enum"] = [*one["enum"], None]
    return found

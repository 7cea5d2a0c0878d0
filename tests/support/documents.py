"""Validation of JSON documents against the schema in the package."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

from jsonschema import Draft202012Validator

from .program import Result

SCHEMA = json.loads(files("seedream_cli").joinpath("output.schema.json").read_text(encoding="utf-8"))
VALIDATOR = Draft202012Validator(SCHEMA)


def validated(result: Result, exit_code: int = 0) -> dict[str, Any]:
    """Return the document of a call after validation. Every field must be in the schema.

    An image of `sync` must also have every field that the schema describes.
    """
    assert result.exit_code == exit_code, result.stderr
    document = result.document
    VALIDATOR.validate(document)
    assert document.keys() <= SCHEMA["properties"].keys()
    for image in document.get("images", ()):
        assert image.keys() == SCHEMA["$defs"]["image"]["properties"].keys()
    return document

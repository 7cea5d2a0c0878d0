"""The JSON schema for editors agrees with the parser."""

from __future__ import annotations

import json
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from seedream_cli.catalog import (
    ASPECT_RATIOS,
    DEFAULT_ASPECT_RATIO,
    DEFAULT_MODEL,
    DEFAULT_QUALITY,
    MODELS,
    QUALITIES,
)
from seedream_cli.errors import InvalidManifest
from seedream_cli.settings.schema import SETTINGS
from seedream_cli.sync.manifest import load_manifest
from seedream_cli.sync.manifest_keys import ASSET_KEYS, DEFAULTS_KEYS, MAX_IMAGES, MAX_TAKE, TABLES
from seedream_cli.sync.path_template import DEFAULT_PATH, FIELDS, LATE_FIELDS

SCHEMA: dict[str, Any] = json.loads(
    files("seedream_cli.sync").joinpath("manifest.schema.json").read_text(encoding="utf-8")
)
DEFS = SCHEMA["$defs"]


def is_valid(text: str) -> bool:
    return Draft202012Validator(SCHEMA).is_valid(tomllib.loads(text))


def suggested_values(name: str) -> dict[str, str]:
    """Return the values that an editor offers, with their descriptions."""
    return {value["const"]: value["description"] for value in DEFS[name]["anyOf"][0]["oneOf"]}


def test_manifest_schema_is_valid() -> None:
    Draft202012Validator.check_schema(SCHEMA)


def test_manifest_schema_has_every_table_and_key() -> None:
    assert tuple(SCHEMA["properties"]) == TABLES
    assert tuple(DEFS["asset"]["properties"]) == ASSET_KEYS
    assert tuple(DEFS["defaults"]["properties"]) == DEFAULTS_KEYS
    assert {name for name, key in SETTINGS.items() if key.in_project} <= set(DEFAULTS_KEYS)


def test_manifest_schema_describes_every_key() -> None:
    for table in ("asset", "defaults"):
        for name, key in DEFS[table]["properties"].items():
            assert key.get("description") or DEFS[name]["description"], name
    assert all(f"{{{field}}}" in DEFS["asset"]["properties"]["path"]["description"] for field in FIELDS)


def test_manifest_schema_matches_models() -> None:
    assert suggested_values("model") == {
        name: f"{row.what}; prompts to {row.prompt_limit} characters; {', '.join(row.qualities)}"
        for name, row in MODELS.items()
    }
    rules = {
        rule["if"]["properties"]["model"]["const"]: rule["then"]["properties"]
        for rule in DEFS["asset"]["allOf"]
    }
    assert rules == {
        name: {
            "aspect_ratio": {"enum": list(ASPECT_RATIOS)},
            "quality": {"enum": list(row.qualities)},
            **({"images": {"minItems": 1}} if row.needs_images else {}),
        }
        for name, row in MODELS.items()
    }
    assert [
        rule["if"]["properties"]["model"]["const"]
        for rule in DEFS["asset"]["allOf"]
        if rule["then"].get("required") == ["images"]
    ] == [name for name, row in MODELS.items() if row.needs_images]
    assert DEFS["asset"]["properties"]["images"]["maxItems"] == max(row.max_images for row in MODELS.values())
    assert suggested_values("aspect_ratio") == ASPECT_RATIOS
    assert suggested_values("quality") == QUALITIES


def test_manifest_schema_matches_defaults_and_limits() -> None:
    asset = DEFS["asset"]["properties"]
    assert [DEFS[name]["default"] for name in ("model", "aspect_ratio", "quality")] == [
        DEFAULT_MODEL,
        DEFAULT_ASPECT_RATIO,
        DEFAULT_QUALITY,
    ]
    assert asset["path"]["default"] == DEFAULT_PATH
    assert asset["count"]["maximum"] == MAX_IMAGES
    assert asset["take"]["maximum"] == MAX_TAKE
    assert SCHEMA["properties"]["vars"]["propertyNames"]["not"]["enum"] == [*FIELDS, *LATE_FIELDS]


VALID = [
    "",
    "[styles]\nink = 'in ink'",
    "[vars]\nlook = 'x'\n2nd-look_x = ''\n'größe' = 'x'",
    "[defaults]\ndir = 'a'\nmodel = 'seedream-9'\nquality = '9K'\ntimeout = 7\npoll_interval = '2.5'\n"
    "max_bytes = 100\noutput = 'x/'\ncallback_url = 'https://x.test'",
    "[assets.a]\nprompt = 'x'",
    "[assets.a]\nprompt = 'x'\nimages = ['https://x.test/a.png']",
    "[assets.a]\nprompt = 'x'\nmodel = 'seedream-v4.5-edit'\nimages = ['https://x.test/a.png']",
    "[styles]\nink = '{x} in ink'\n[assets.a]\nprompt = 'x'\ndetails = 'soft light'\nstyle = 'ink'",
    "[assets.a]\nprompt = 'x'\nmodel = 'seedream-9'\naspect_ratio = '5:4'\nquality = '8K'",
    "[assets.a]\nprompt = 'x'\nmodel = 'seedream-v4.5'\naspect_ratio = '21:9'\nquality = '4K'",
    "[assets.a]\nprompt = 'x'\nmodel = 'seedream-5.0-lite'\nquality = '3K'",
    "[assets.'雪.狐']\nprompt = 'x'\npath = 'icons/'\ncount = 1000\ntake = 1000000",
    "[assets._a-1]\nprompt = 'x'\npath = '{dir}/{name}-{n}.{ext}'",
    "[defaults]\nmodel = 'seedream-5.0-lite'\n[assets.a]\nprompt = 'x'\nquality = '3K'",
]
A = "[assets.a]\nprompt = 'x'\n"
INVALID = [
    *("x = 1", "assets = []", "[assets]\na = 'x'", "[styles]\na = 1", "[styles]\na = ' '"),
    *("[vars]\na = 1", "[vars]\nname = 'x'", "[vars]\n'a b' = 'x'"),
    *("[defaults]\napi_key = 'x'", "[defaults]\nbase_url = 'https://x.test'", "[defaults]\ntimeout = true"),
    *("[defaults]\ndir = ''", "[defaults]\ndir = 1"),
    *("[assets.a]", "[assets.a]\nprompt = ''", "[assets.a]\nprompt = ' '", "[assets.a]\nprompt = 1"),
    *(f"{A}{more}" for more in ("prompt_file = 'x'", "promt = 'x'", "details = 1", "style = []")),
    *(f"{A}model = '{more}" for more in ("'", "seedream-v4.5-edit'", "seedream-5.0-lite-edit'\nimages = []")),
    *(f"{A}images = {more}" for more in ("'https://x.test/a.png'", "[1]", "['']", ["https://x.test/a"] * 15)),
    f"{A}model = 'seedream-v4.5'\nquality = '3K'",
    f"{A}model = 'seedream-5.0-lite'\naspect_ratio = '5:4'",
    *(f"{A}path = '{more}'" for more in ("", "/x.png", "a\\b.png")),
    *(f"{A}{more}" for more in ("count = 0", "count = 1001", "count = 1.5", "take = 0", "take = '2'")),
    *(f"[assets.{more}]\nprompt = 'x'" for more in ("'.a'", "-a", "'a b'", "'a/b'", "'../a'", "''")),
    *(f"[assets.{more}]\nprompt = 'x'" for more in ("a" * 121, "'{n}'", "'a\\b'")),
]


@pytest.mark.parametrize("text", VALID)
def test_manifest_accepted_by_schema_and_parser(tmp_path: Path, text: str) -> None:
    assert is_valid(text)
    (tmp_path / "seedream.toml").write_text(text, encoding="utf-8")
    load_manifest(tmp_path / "seedream.toml")


@pytest.mark.parametrize("text", INVALID)
def test_manifest_refused_by_schema_and_parser(tmp_path: Path, text: str) -> None:
    assert not is_valid(text)
    (tmp_path / "seedream.toml").write_text(text, encoding="utf-8")
    with pytest.raises(InvalidManifest):
        load_manifest(tmp_path / "seedream.toml")

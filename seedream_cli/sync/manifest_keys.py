"""The tables and keys that a manifest may have.

The parser accepts these names. `python -m scripts.generate` writes ``manifest.schema.json`` from these
classes, and editors show their constraints and descriptions. The classes are never instantiated.
"""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType

from ..catalog import DEFAULT_ASPECT_RATIO, DEFAULT_MODEL, DEFAULT_QUALITY, MODELS
from ..settings.schema import SETTINGS
from .path_template import DEFAULT_PATH, FIELDS, LATE_FIELDS

MAX_IMAGES = 1000
MAX_TAKE = 1_000_000

Text = Annotated[str, Meta(pattern=r"\S")]


class AssetTable(Struct, frozen=True, forbid_unknown_fields=True):
    """One image, or several that are requested in the same way."""

    prompt: Annotated[
        Text | UnsetType,
        Meta(
            description="What to draw. {name} is a variable of [vars]; {{ and }} are braces. "
            "Blank space around it is removed."
        ),
    ] = UNSET
    prompt_file: Annotated[
        Text | UnsetType,
        Meta(description="A UTF-8 file of the project that holds the prompt, with variables too."),
    ] = UNSET
    details: Annotated[
        str | UnsetType,
        Meta(description="Light, colour, mood: joined to the prompt. {name} is a variable of [vars]."),
    ] = UNSET
    style: Annotated[
        str | UnsetType,
        Meta(
            description="The name of one of [styles], or a style in words: joined after prompt and details. "
            "{name} is a variable of [vars]."
        ),
    ] = UNSET
    images: Annotated[
        Annotated[list[Text], Meta(max_length=max(row.max_images for row in MODELS.values()))] | UnsetType,
        Meta(
            description="Source images: files of the project (PNG, JPEG or WebP) and https URLs. "
            "They are edited by the model's edit form."
        ),
    ] = UNSET
    model: Annotated[
        Text,
        Meta(
            description="The model. One that is not listed is sent as it is. "
            "With source images, its edit form is used."
        ),
    ] = DEFAULT_MODEL
    aspect_ratio: Annotated[Text, Meta(description="The shape of the picture.")] = DEFAULT_ASPECT_RATIO
    quality: Annotated[Text, Meta(description="The size of the picture.")] = DEFAULT_QUALITY
    path: Annotated[
        str,
        Meta(
            description="Where the image goes, from the manifest's folder: a file, a folder (it ends in /) "
            f"or a template. Fields: {', '.join(f'{{{field}}}' for field in FIELDS)}, and variables of "
            "[vars]. With a count above 1, -{n} is added before the extension if {n} is not in it.",
            min_length=1,
            pattern=r"^[^/\\][^\\]*$",
        ),
    ] = DEFAULT_PATH
    count: Annotated[int, Meta(description="How many images.", ge=1, le=MAX_IMAGES)] = 1
    take: Annotated[int, Meta(description="Raise it to generate again.", ge=1, le=MAX_TAKE)] = 1


class ManifestTables(Struct, frozen=True, forbid_unknown_fields=True):
    """The images of a project, kept in step by `seedream sync`; `generate` reads its defaults too."""

    #: The keys are settings, which are described where they are defined.
    defaults: Annotated[
        dict[str, Any] | UnsetType,
        Meta(
            description="For every asset that does not say otherwise, and for `seedream generate` run in "
            "this folder."
        ),
    ] = UNSET
    vars: Annotated[
        dict[
            Annotated[
                str,
                Meta(
                    pattern=r"^[^\x00-,./:-@\[-^`{-\x7f]+$",
                    extra_json_schema={"not": {"enum": [*FIELDS, *LATE_FIELDS]}},
                ),
            ],
            str,
        ]
        | UnsetType,
        Meta(
            description="Texts that prompts and paths can use as {name}. They are inserted unchanged: "
            "braces in them are text."
        ),
    ] = UNSET
    styles: Annotated[
        dict[str, Text] | UnsetType,
        Meta(
            description="Styles by name, for the key style of an asset and for `seedream generate --style`. "
            "They are inserted unchanged."
        ),
    ] = UNSET
    assets: Annotated[
        dict[
            Annotated[
                str,
                Meta(
                    description="Letters, digits, -, _ and ., first a letter, a digit or _.",
                    pattern=r"^[^\x00-/:-@\[-^`{-\x7f][^\x00-,/:-@\[-^`{-\x7f]*$",
                    max_length=120,
                ),
            ],
            AssetTable,
        ]
        | UnsetType,
        Meta(description="The images, by name."),
    ] = UNSET


TABLES = ManifestTables.__struct_fields__
ASSET_KEYS = AssetTable.__struct_fields__
DEFAULTS_KEYS = ("dir", *(name for name, key in SETTINGS.items() if key.in_project))

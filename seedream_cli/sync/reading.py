"""From a manifest's tables to its assets, with everything that is wrong on the way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeGuard

from ..errors import InvalidRequest, UsageProblem
from ..models import DEFAULT_ASPECT_RATIO, DEFAULT_MODEL, DEFAULT_QUALITY, MODELS, GenerationRequest
from ..settings import KEYS
from .image import Asset, digest_of
from .locating import Lines
from .places import Places
from .problems import InvalidManifest, Problem, dotted, suggestion
from .prompts import prompt_of, read_prompt
from .templates import Piece, WrongTemplate
from .wanted import (
    DEFAULT_PATH,
    FIELDS,
    LATE_FIELDS,
    PathTemplate,
    Wanted,
    is_safe_name,
    path_of,
    pieces_of_folder,
)

TABLES = ("defaults", "vars", "styles", "assets")
PICTURE = ("model", "aspect_ratio", "quality")
ASSET_KEYS: tuple[str, ...] = ("prompt", "prompt_file", *PICTURE, "path", "count", "take")
DEFAULTS_KEYS: tuple[str, ...] = ("dir", *(name for name, key in KEYS.items() if key.in_project))
MOST_IMAGES = 1000
MOST_TAKES = 1_000_000
_KNOWN = frozenset(ASSET_KEYS)
#: In this order: to Python, a boolean is a number too.
_KINDS = {
    str: "text",
    bool: "a boolean",
    int: "a number",
    float: "a number",
    list: "an array",
    dict: "a table",
}

Keys = tuple[str, ...]
Table = Mapping[str, Any]


def assets_of(
    tables: Table, *, text: str, file: str, folder: Path, reserved: Mapping[str, str]
) -> tuple[Asset, ...]:
    """The assets, sorted by name. ``reserved`` are names of the folder that no image can have.

    Raises InvalidManifest, whose problems name the manifest as ``file``.
    """
    reader = _Reader(text, file, folder, Places(reserved))
    assets = reader.read(tables)
    if reader.problems:
        raise InvalidManifest(file, reader.problems)
    return assets


class _Reader:
    """Reads on whatever is wrong, with something valid in its place, so that all of it is told at once."""

    def __init__(self, text: str, file: str, folder: Path, places: Places) -> None:
        self.problems: list[Problem] = []
        self._text = text
        self._file = file
        self._folder = folder
        self._places = places
        self._defaults: dict[str, str] = {}
        self._variables: dict[str, str] = {}
        self._dir: list[Piece] = [(".", None)]
        self._prompt_files: dict[str, str] = {}
        self._templates: dict[tuple[str, bool], PathTemplate] = {}

    def read(self, tables: Table) -> tuple[Asset, ...]:
        self._refuse_unknown((), tables, TABLES)
        self._read_defaults(self._table(tables, "defaults"))
        self._read_variables(self._table(tables, "vars"))
        for name, value in self._table(tables, "styles").items():
            self._is_text(value, ("styles", name))
        assets = [self._asset(name, table) for name, table in self._table(tables, "assets").items()]
        for name, what in self._places.under_files():
            self._wrong(("assets", name, "path"), what)
        return tuple(sorted((asset for asset in assets if asset is not None), key=lambda asset: asset.name))

    @cached_property
    def _lines(self) -> Lines:
        # Only what is wrong needs a line.
        return Lines(self._text)

    def _wrong(self, keys: Keys, *reasons: str) -> None:
        line = self._lines.line_of(*keys)
        self.problems += (Problem(self._file, line, dotted(keys), reason) for reason in reasons)

    def _is_text(self, value: object, keys: Keys) -> TypeGuard[str]:
        if not isinstance(value, str):
            self._wrong(keys, f"is {_kind(value)}, not text")
            return False
        return True

    def _table(self, tables: Table, name: str) -> Table:
        table = tables.get(name, {})
        if isinstance(table, dict):
            return table
        self._wrong((name,), f"is {_kind(table)}, not a table")
        return {}

    def _refuse_unknown(self, keys: Keys, table: Table, known: tuple[str, ...]) -> None:
        for name in table:
            if name not in known:
                self._wrong((*keys, name), f"is unknown{suggestion(name, known) or _choice(known)}")

    def _read_defaults(self, table: Table) -> None:
        for name, value in table.items():
            keys = ("defaults", name)
            if name == "dir":
                self._read_dir(keys, value)
            elif name not in KEYS:
                self._refuse_unknown(("defaults",), {name: value}, DEFAULTS_KEYS)
            elif not KEYS[name].in_project:
                # Its value may be a key, and is not repeated.
                self._wrong(keys, "is not read from a project's file")
            elif isinstance(value, bool) or not isinstance(value, str | int | float):
                self._wrong(keys, f"is {_kind(value)}, neither text nor a number")
            else:
                self._read_default(keys, value)

    def _read_default(self, keys: Keys, value: str | int | float) -> None:
        """A default, checked as the settings are, which read the same table."""
        name = keys[-1]
        try:
            text = str(value)
            KEYS[name].parse(text)
        except UsageProblem as error:
            self._wrong(keys, error.message)
        except ValueError as error:
            self._wrong(keys, str(error))
        else:
            self._defaults[name] = text

    def _read_dir(self, keys: Keys, value: object) -> None:
        if self._is_text(value, keys):
            try:
                self._dir = pieces_of_folder(value)
            except WrongTemplate as error:
                self._wrong(keys, *error.args)
                # A folder that no other path leads to: what would go there is in nobody's way.
                self._dir = [("{dir}", None)]

    def _read_variables(self, table: Table) -> None:
        for name, value in table.items():
            keys = ("vars", name)
            # What is wrong with a variable is not told again by all that use it.
            self._variables[name] = value if self._is_text(value, keys) else ""
            if name in FIELDS or name in LATE_FIELDS:
                self._wrong(keys, f"is a field of paths: {{{name}}} would be two things")
            elif not is_name(name):
                self._wrong(keys, "is no name of a variable: letters, digits, - and _")

    def _asset(self, name: str, table: object) -> Asset | None:
        keys = ("assets", name)
        if not isinstance(table, dict):
            self._wrong(keys, f"is {_kind(table)}, not a table")
            return None
        before = len(self.problems)
        named = is_safe_name(name)
        if not named:
            self._wrong(
                keys, "is no name of an asset: letters, digits, - _ and . (first a letter, digit or _)"
            )
        if not table.keys() <= _KNOWN:
            self._refuse_unknown(keys, table, ASSET_KEYS)
        count = self._whole_number((*keys, "count"), table, MOST_IMAGES)
        take = self._whole_number((*keys, "take"), table, MOST_TAKES)
        request = self._request(keys, table)
        wanted = self._wanted(keys, table, count, request) if named else ()
        if len(self.problems) > before:
            return None
        return Asset(name, request, digest_of(request), take, wanted)

    def _whole_number(self, keys: Keys, table: Table, most: int) -> int:
        value = table.get(keys[-1], 1)
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
            self._wrong(keys, f"is not a whole number from 1 to {most}")
            return 1
        return value

    def _request(self, keys: Keys, table: Table) -> GenerationRequest:
        prompt = self._prompt(keys, table)
        request = GenerationRequest(
            "x" if prompt is None else prompt,
            self._value(keys, table, "model", DEFAULT_MODEL),
            self._value(keys, table, "aspect_ratio", DEFAULT_ASPECT_RATIO),
            self._value(keys, table, "quality", DEFAULT_QUALITY),
        )
        try:
            request.validate()
        except InvalidRequest:
            self._refuse_request(keys, table, request)
        return request

    def _value(self, keys: Keys, table: Table, name: str, default: str) -> str:
        value = table.get(name)
        if value is not None and self._is_text(value, (*keys, name)):
            if value.strip():
                return value
            self._wrong((*keys, name), "is empty")
        return self._defaults.get(name, default)

    def _refuse_request(self, keys: Keys, table: Table, request: GenerationRequest) -> None:
        """Tell what is wrong with each value: validate() ends at the first."""
        row = MODELS.get(request.model)
        edits = row is not None and row.needs_images
        valid = GenerationRequest(
            "x",
            request.model or DEFAULT_MODEL,
            quality=row.qualities[0] if row else DEFAULT_QUALITY,
            image_urls=("x",) if edits else (),
        )
        if edits:
            what = f"is {request.model}, which edits images, and source images are not yet taken"
            self._wrong(self._origin(keys, table, "model"), what)
        for name in ("prompt", *PICTURE):
            try:
                replace(valid, **{name: getattr(request, name)}).validate()
            except InvalidRequest as error:
                self._wrong(self._origin(keys, table, name), error.message)

    def _origin(self, keys: Keys, table: Table, name: str) -> Keys:
        """The key that a value comes from, or else that of the model which it does not suit."""
        for key in (name, "prompt_file") if name == "prompt" else (name, "model"):
            if key in table:
                return (*keys, key)
        return next((("defaults", key) for key in (name, "model") if key in self._defaults), keys)

    def _prompt(self, keys: Keys, table: Table) -> str | None:
        """The prompt; None where something is wrong with it."""
        if "prompt" not in table and "prompt_file" not in table:
            self._wrong(keys, "has neither prompt nor prompt_file")
            return None
        key = "prompt" if "prompt" in table else "prompt_file"
        keys, value = (*keys, key), table[key]
        if "prompt" in table and "prompt_file" in table:
            self._wrong((*keys[:-1], "prompt_file"), "contradicts prompt: an asset has one of them")
        if not self._is_text(value, keys):
            return None
        try:
            text = value if key == "prompt" else self._text_of(value)
        except WrongTemplate as error:
            self._wrong(keys, *error.args)
            return None
        try:
            return prompt_of(text, self._variables).strip()
        except WrongTemplate as error:
            where = "" if key == "prompt" else f"{value} "
            self._wrong(keys, *(where + reason for reason in error.args))
            return None

    def _text_of(self, name: str) -> str:
        """The text of a prompt's file. Raises WrongTemplate."""
        if name not in self._prompt_files:
            self._prompt_files[name] = read_prompt(self._folder, path_of(name))
        return self._prompt_files[name]

    def _wanted(self, keys: Keys, table: Table, count: int, request: GenerationRequest) -> tuple[Wanted, ...]:
        text = table.get("path", DEFAULT_PATH)
        if "path" in table:
            keys = (*keys, "path")
        if not self._is_text(text, keys):
            return ()
        name = keys[1]
        found = []
        try:
            template = self._template(text, several=count > 1)
            for number in range(1, count + 1):
                wanted = template.wanted(name, number, request)
                if problem := self._places.claim(wanted, (name, number if count > 1 else 0)):
                    self._wrong(keys, problem)
                    break
                found.append(wanted)
        except WrongTemplate as error:
            self._wrong(keys, *error.args)
        return tuple(found)

    def _template(self, text: str, *, several: bool) -> PathTemplate:
        known = self._templates.get((text, several))
        if known is None:
            known = PathTemplate(text, variables=self._variables, folder=self._dir, several=several)
            self._templates[text, several] = known
        return known


def is_name(text: str) -> bool:
    """Whether a variable can be called so."""
    return bool(text) and all(sign in "_-" or sign.isalnum() for sign in text)


def _choice(known: Sequence[str]) -> str:
    return f": there {'is' if len(known) == 1 else 'are'} {', '.join(known)}"


def _kind(value: object) -> str:
    """A TOML value's kind, with its article."""
    for kind, name in _KINDS.items():
        if isinstance(value, kind):
            return name
    return "a date or a time"

"""From a manifest's tables to its assets, with everything that is wrong on the way."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..errors import UsageError
from ..models import GenerationRequest
from ..settings.schema import SETTINGS
from .asset_parser import AssetParser
from .assets import Asset, digest_of
from .diagnostics import DiagnosticCollector, InvalidManifest, Keys, Table, kind
from .manifest_keys import ASSET_KEYS, DEFAULTS_KEYS, MOST_IMAGES, MOST_TAKES, TABLES
from .path_template import (
    DEFAULT_PATH,
    FIELDS,
    LATE_FIELDS,
    PathRegistry,
    PathTemplate,
    TargetPath,
    is_safe_name,
    pieces_of_folder,
)
from .templates import Piece, WrongTemplate

_KNOWN = frozenset(ASSET_KEYS)


def assets_of(
    tables: Table, *, text: str, file: str, folder: Path, reserved: Mapping[str, str]
) -> tuple[Asset, ...]:
    """The assets, sorted by name. ``reserved`` are names of the folder that no image can have.

    Raises InvalidManifest, whose problems name the manifest as ``file``.
    """
    complaints = DiagnosticCollector(text, file)
    assets = ManifestParser(complaints, folder, PathRegistry(reserved)).read(tables)
    if complaints.problems:
        raise InvalidManifest(file, complaints.problems)
    return assets


class ManifestParser:
    """Reads on whatever is wrong, with something valid in its place, so that all of it is told at once."""

    def __init__(self, complaints: DiagnosticCollector, folder: Path, places: PathRegistry) -> None:
        self._complaints = complaints
        self._requests = AssetParser(complaints, folder)
        self._places = places
        self._defaults = self._requests.defaults
        self._variables = self._requests.variables
        self._dir: list[Piece] = [(".", None)]
        self._templates: dict[tuple[str, bool], PathTemplate] = {}

    def read(self, tables: Table) -> tuple[Asset, ...]:
        self._complaints.refuse_unknown((), tables, TABLES)
        self._read_defaults(self._table(tables, "defaults"))
        self._read_variables(self._table(tables, "vars"))
        self._read_styles(self._table(tables, "styles"))
        assets = [self._asset(name, table) for name, table in self._table(tables, "assets").items()]
        for name, what in self._places.under_files():
            self._complaints.add(("assets", name, "path"), what)
        return tuple(sorted((asset for asset in assets if asset is not None), key=lambda asset: asset.name))

    def _table(self, tables: Table, name: str) -> Table:
        table = tables.get(name, {})
        if isinstance(table, dict):
            return table
        self._complaints.add((name,), f"is {kind(table)}, not a table")
        return {}

    def _read_defaults(self, table: Table) -> None:
        for name, value in table.items():
            keys = ("defaults", name)
            if name == "dir":
                self._read_dir(keys, value)
            elif name not in SETTINGS:
                self._complaints.refuse_unknown(("defaults",), {name: value}, DEFAULTS_KEYS)
            elif not SETTINGS[name].in_project:
                # Its value may be a key, and is not repeated.
                self._complaints.add(keys, "is not read from a project's file")
            elif isinstance(value, bool) or not isinstance(value, str | int | float):
                self._complaints.add(keys, f"is {kind(value)}, neither text nor a number")
            else:
                self._read_default(keys, value)

    def _read_default(self, keys: Keys, value: str | int | float) -> None:
        """A default, checked as the settings are, which read the same table."""
        name = keys[-1]
        try:
            text = str(value)
            SETTINGS[name].parse(text)
        except UsageError as error:
            self._complaints.add(keys, error.message)
        except ValueError as error:
            self._complaints.add(keys, str(error))
        else:
            self._defaults[name] = text

    def _read_dir(self, keys: Keys, value: object) -> None:
        if self._complaints.is_text(value, keys):
            try:
                self._dir = pieces_of_folder(value)
            except WrongTemplate as error:
                self._complaints.add(keys, *error.args)
                # A folder that no other path leads to: what would go there is in nobody's way.
                self._dir = [("{dir}", None)]

    def _read_variables(self, table: Table) -> None:
        for name, value in table.items():
            keys = ("vars", name)
            # What is wrong with a variable is not told again by all that use it.
            self._variables[name] = value if self._complaints.is_text(value, keys) else ""
            if name in FIELDS or name in LATE_FIELDS:
                self._complaints.add(keys, f"is a field of paths: {{{name}}} would be two things")
            elif not is_name(name):
                self._complaints.add(keys, "is no name of a variable: letters, digits, - and _")

    def _read_styles(self, table: Table) -> None:
        for name, value in table.items():
            keys = ("styles", name)
            if self._complaints.is_text(value, keys) and not value.strip():
                self._complaints.add(keys, "is empty")
            self._requests.styles[name] = value if isinstance(value, str) else ""

    def _asset(self, name: str, table: object) -> Asset | None:
        keys = ("assets", name)
        if not isinstance(table, dict):
            self._complaints.add(keys, f"is {kind(table)}, not a table")
            return None
        before = len(self._complaints.problems)
        named = is_safe_name(name)
        if not named:
            self._complaints.add(
                keys, "is no name of an asset: letters, digits, - _ and . (first a letter, digit or _)"
            )
        if not table.keys() <= _KNOWN:
            self._complaints.refuse_unknown(keys, table, ASSET_KEYS)
        count = self._whole_number((*keys, "count"), table, MOST_IMAGES)
        take = self._whole_number((*keys, "take"), table, MOST_TAKES)
        request, images = self._requests.read(keys, table)
        wanted = self._wanted(keys, table, count, request) if named else ()
        if len(self._complaints.problems) > before:
            return None
        return Asset(name, request, digest_of(request), take, wanted, images)

    def _whole_number(self, keys: Keys, table: Table, most: int) -> int:
        value = table.get(keys[-1], 1)
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
            self._complaints.add(keys, f"is not a whole number from 1 to {most}")
            return 1
        return value

    def _wanted(
        self, keys: Keys, table: Table, count: int, request: GenerationRequest
    ) -> tuple[TargetPath, ...]:
        text = table.get("path", DEFAULT_PATH)
        if "path" in table:
            keys = (*keys, "path")
        if not self._complaints.is_text(text, keys):
            return ()
        name = keys[1]
        found = []
        try:
            template = self._template(text, several=count > 1)
            for number in range(1, count + 1):
                wanted = template.wanted(name, number, request)
                if problem := self._places.claim(wanted, (name, number if count > 1 else 0)):
                    self._complaints.add(keys, problem)
                    break
                found.append(wanted)
        except WrongTemplate as error:
            self._complaints.add(keys, *error.args)
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

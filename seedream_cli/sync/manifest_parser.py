"""Turn the tables of a manifest into assets, and collect all mistakes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..errors import InvalidManifest, UsageError
from ..models import GenerationRequest
from ..settings.schema import SETTINGS
from .asset_parser import AssetParser
from .assets import Asset, digest_of
from .diagnostics import DiagnosticCollector, Keys, Table, type_name
from .manifest_keys import ASSET_KEYS, DEFAULTS_KEYS, MAX_IMAGES, MAX_TAKE, TABLES
from .path_template import (
    DEFAULT_PATH,
    FIELDS,
    LATE_FIELDS,
    PathRegistry,
    PathTemplate,
    TargetPath,
    is_safe_name,
    parse_folder,
)
from .templates import Piece, WrongTemplate

#: A set, because every table of thousands of assets is compared with it.
_ASSET_KEYS = frozenset(ASSET_KEYS)


def parse_assets(
    tables: Table, *, text: str, file: str, folder: Path, reserved: Mapping[str, str]
) -> tuple[Asset, ...]:
    """Return the assets, sorted by name. ``reserved`` maps file names that no image can have to their owner.

    Raises InvalidManifest with all mistakes; they name the manifest as ``file``.
    """
    diagnostics = DiagnosticCollector(text, file)
    assets = ManifestParser(diagnostics, folder, PathRegistry(reserved)).parse(tables)
    if diagnostics.problems:
        raise InvalidManifest(file, diagnostics.problems)
    return assets


class ManifestParser:
    """Parses a manifest. It continues after a mistake with a valid placeholder, to find all mistakes."""

    def __init__(self, diagnostics: DiagnosticCollector, folder: Path, registry: PathRegistry) -> None:
        self._diagnostics = diagnostics
        self._asset_parser = AssetParser(diagnostics, folder)
        self._registry = registry
        self._defaults = self._asset_parser.defaults
        self._variables = self._asset_parser.variables
        self._dir: list[Piece] = [(".", None)]
        self._templates: dict[tuple[str, bool], PathTemplate] = {}

    def parse(self, tables: Table) -> tuple[Asset, ...]:
        """Return the valid assets, sorted by name. The mistakes of the others are in the collector."""
        self._diagnostics.refuse_unknown((), tables, TABLES)
        self._read_defaults(self._table(tables, "defaults"))
        self._read_variables(self._table(tables, "vars"))
        self._read_styles(self._table(tables, "styles"))
        assets = [self._parse_asset(name, table) for name, table in self._table(tables, "assets").items()]
        for name, reason in self._registry.paths_through_files():
            self._diagnostics.add(("assets", name, "path"), reason)
        return tuple(sorted((asset for asset in assets if asset is not None), key=lambda asset: asset.name))

    def _table(self, tables: Table, name: str) -> Table:
        table = tables.get(name, {})
        if isinstance(table, dict):
            return table
        self._diagnostics.add((name,), f"is {type_name(table)}, not a table")
        return {}

    def _read_defaults(self, table: Table) -> None:
        for name, value in table.items():
            keys = ("defaults", name)
            if name == "dir":
                self._read_dir(keys, value)
            elif name not in SETTINGS:
                self._diagnostics.refuse_unknown(("defaults",), {name: value}, DEFAULTS_KEYS)
            elif not SETTINGS[name].in_project:
                # Do not repeat the value: it may be an API key.
                self._diagnostics.add(keys, "is not read from a project's file")
            elif isinstance(value, bool) or not isinstance(value, str | int | float):
                self._diagnostics.add(keys, f"is {type_name(value)}, neither text nor a number")
            else:
                # Parsed as a setting, because `generate` reads the same table as settings.
                try:
                    # Raises ValueError for an integer with too many digits.
                    text = str(value)
                    SETTINGS[name].parse(text)
                except UsageError as error:
                    self._diagnostics.add(keys, error.message)
                except ValueError as error:
                    self._diagnostics.add(keys, str(error))
                else:
                    self._defaults[name] = text

    def _read_dir(self, keys: Keys, value: object) -> None:
        if self._diagnostics.is_text(value, keys):
            try:
                self._dir = parse_folder(value)
            except WrongTemplate as error:
                self._diagnostics.add(keys, *error.args)
                # A folder that no other path can have, so that its images collide with nothing.
                self._dir = [("{dir}", None)]

    def _read_variables(self, table: Table) -> None:
        for name, value in table.items():
            keys = ("vars", name)
            # A mistake in a variable is not reported again for each use.
            self._variables[name] = value if self._diagnostics.is_text(value, keys) else ""
            if name in FIELDS or name in LATE_FIELDS:
                self._diagnostics.add(keys, f"is a field of paths: {{{name}}} would be two things")
            elif not name or not all(character in "_-" or character.isalnum() for character in name):
                self._diagnostics.add(keys, "is no name of a variable: letters, digits, - and _")

    def _read_styles(self, table: Table) -> None:
        for name, value in table.items():
            keys = ("styles", name)
            if self._diagnostics.is_text(value, keys) and not value.strip():
                self._diagnostics.add(keys, "is empty")
            self._asset_parser.styles[name] = value if isinstance(value, str) else ""

    def _parse_asset(self, name: str, table: object) -> Asset | None:
        keys = ("assets", name)
        if not isinstance(table, dict):
            self._diagnostics.add(keys, f"is {type_name(table)}, not a table")
            return None
        before = len(self._diagnostics.problems)
        has_valid_name = is_safe_name(name)
        if not has_valid_name:
            self._diagnostics.add(
                keys, "is no name of an asset: letters, digits, - _ and . (first a letter, digit or _)"
            )
        if not table.keys() <= _ASSET_KEYS:
            self._diagnostics.refuse_unknown(keys, table, ASSET_KEYS)
        count = self._whole_number((*keys, "count"), table, MAX_IMAGES)
        take = self._whole_number((*keys, "take"), table, MAX_TAKE)
        request, images = self._asset_parser.parse(keys, table)
        targets = self._target_paths(keys, table, count, request) if has_valid_name else ()
        if len(self._diagnostics.problems) > before:
            return None
        return Asset(name, request, digest_of(request), take, targets, images)

    def _whole_number(self, keys: Keys, table: Table, maximum: int) -> int:
        value = table.get(keys[-1], 1)
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= maximum:
            self._diagnostics.add(keys, f"is not a whole number from 1 to {maximum}")
            return 1
        return value

    def _target_paths(
        self, keys: Keys, table: Table, count: int, request: GenerationRequest
    ) -> tuple[TargetPath, ...]:
        text = table.get("path", DEFAULT_PATH)
        if "path" in table:
            keys = (*keys, "path")
        if not self._diagnostics.is_text(text, keys):
            return ()
        name = keys[1]
        found = []
        try:
            template = self._template(text, several=count > 1)
            for number in range(1, count + 1):
                target = template.target(name, number, request)
                if problem := self._registry.claim(target, (name, number if count > 1 else 0)):
                    self._diagnostics.add(keys, problem)
                    break
                found.append(target)
        except WrongTemplate as error:
            self._diagnostics.add(keys, *error.args)
        return tuple(found)

    def _template(self, text: str, *, several: bool) -> PathTemplate:
        """Return the parsed template. Most assets of a manifest share one, so it is cached."""
        template = self._templates.get((text, several))
        if template is None:
            template = PathTemplate(text, variables=self._variables, folder=self._dir, several=several)
            self._templates[text, several] = template
        return template

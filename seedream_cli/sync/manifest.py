"""The manifest, ``seedream.toml``: which images a project has, and the request for each.

::

    [defaults]                 # `generate` in this folder reads them too
    dir = "assets"
    aspect_ratio = "16:9"
    [vars]
    look = "flat vector, warm palette"
    [styles]
    film = "cinematic, 35mm film texture"
    [assets.hero]
    prompt = "A red fox in snow, {look}"
    details = "soft morning light"
    style = "film"             # or a style in words
    [assets.winter]
    prompt = "The same house in deep snow"
    images = ["photos/house.jpg", "https://example.com/snow.jpg"]
    [assets.badge]
    prompt_file = "prompts/badge.md"
    path = "icons/badge-{n}.{ext}"
    count = 2
    take = 2                   # raise it to generate again

An image depends on the manifest and the built-in defaults only, not on options, the environment or a profile:
every machine generates what was reviewed. A prompt is the same text whether it is in the manifest or in a
file: variables are replaced, and surrounding blank space is removed.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn

from msgspec import Struct

from ..errors import Diagnostic, InvalidManifest, UsageError
from .assets import Asset, Image
from .manifest_parser import parse_assets
from .toml_lines import TomlLineIndex

DEFAULT_NAME = "seedream.toml"

_SYNTAX_ERROR_POSITION = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)\Z")


class Manifest(Struct, frozen=True, dict=True):
    """A valid manifest. Assets are sorted by name. ``path`` is as given, ``folder`` is absolute."""

    path: Path
    folder: Path
    assets: tuple[Asset, ...]
    text: str

    @property
    def lockfile_path(self) -> Path:
        """Return the path of the lockfile: ``seedream.lock`` beside ``seedream.toml``."""
        return lockfile_path(self.path)

    def images(self) -> Iterator[Image]:
        """Yield every image, sorted by name and number."""
        for asset in self.assets:
            yield from asset.images()

    def line_of(self, *keys: str) -> int:
        """Return the line of a key, such as ``("assets", "hero", "prompt")``, or of its table."""
        return self._lines.line_of(*keys)

    @cached_property
    def _lines(self) -> TomlLineIndex:
        return TomlLineIndex(self.text)


def lockfile_path(manifest: Path) -> Path:
    """Return the path of a manifest's lockfile."""
    return manifest.with_suffix(".lock")


def load_manifest(path: Path) -> Manifest:
    """Read a manifest and its prompt files.

    Raises InvalidManifest with all mistakes, and UsageError if the file cannot be read at all.
    """
    if path.suffix.lower() == ".lock":
        raise UsageError(f"{path} is a lock, not a manifest", code="no_manifest")
    text = _read_text(path)
    folder = Path(os.path.abspath(path)).parent
    reserved = {path.name: "the manifest", lockfile_path(path).name: "its lock"}
    tables = _parse_toml(path, text)
    assets = parse_assets(tables, text=text, file=str(path), folder=folder, reserved=reserved)
    return Manifest(path, folder, assets, text)


def _read_text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise UsageError(f"there is no manifest {path}", code="no_manifest") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", code="no_manifest") from None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        _refuse(path, data.count(b"\n", 0, error.start) + 1, "is not UTF-8 text")
    # The settings read this file too, and normalise line endings in the same way.
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _parse_toml(path: Path, text: str) -> Mapping[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        reason = str(error)
        position = _SYNTAX_ERROR_POSITION.search(reason)
        if position is None:
            _refuse(path, 1, f"not valid TOML: {reason}")
        reason = reason[: position.start()]
        if position[1] is None:
            _refuse(path, max(1, len(text.splitlines())), f"not valid TOML at the file's end: {reason}")
        _refuse(path, int(position[1]), f"not valid TOML in column {position[2]}: {reason}")
    except (ValueError, RecursionError) as error:
        # Numbers with too many digits for Python, and values nested too deeply.
        _refuse(path, 1, f"not valid TOML: {error}")


def _refuse(path: Path, line: int, reason: str) -> NoReturn:
    raise InvalidManifest(str(path), [Diagnostic(str(path), line, "", reason)]) from None

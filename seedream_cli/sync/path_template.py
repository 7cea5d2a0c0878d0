"""Path templates of a project, and the check that no two images have the same path.

A path is relative to the manifest's folder, has ``/`` between folders and no ``..``, and is the same on every
system. The extension of a path with ``{ext}`` stays open until the image's bytes are known.
"""

from __future__ import annotations

import os
import posixpath
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct

from ..files.output_path import EXTENSIONS, TemplateFields
from ..files.safe_names import NAME_BYTES, safe_component, safe_value, slug, utf8
from ..models import GenerationRequest
from ..text import clean
from .diagnostics import suggestion
from .templates import InvalidTemplate, Piece, braced, parse_template

FIELDS = ("dir", "name", "n", "ext", "model", "ratio", "quality", "slug")
#: Fields of `--output` that a path cannot have.
LATE_FIELDS = ("task", "date", "time")
DEFAULT_PATH = "{dir}/{name}.{ext}"
#: The file name for a path that ends in a folder.
_DEFAULT_NAME = "{name}.{ext}"

#: The usual names of assets, which need no look at Unicode categories.
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,119}")
_DRIVE = re.compile(r"[A-Za-z]:")
#: Placeholders for an open extension and for other fields. Paths cannot contain control characters.
_OPEN_EXTENSION = "\x01"
_ANY_FIELD = "\x02"
#: A value that is valid for any field, to check the rest of a path.
_SAMPLE = "field"
#: A file name and its extension. Dots at its start belong to the name.
_NAME_AND_EXTENSION = re.compile(rf"(\.*[^.].*)(\.(?:{_OPEN_EXTENSION}|[A-Za-z0-9]{{1,16}}))", re.DOTALL)
_LONGEST_EXTENSION = max(EXTENSIONS, key=len)
#: Fields that need no formatting. Formatting the others doubles the time for a path.
_PLAIN_FIELDS = {"name", "n", "ext"}

_Owner = tuple[str, int]
"""The name of an asset and the number of its image, 0 for a single image. ("", 0) is the project."""


class TargetPath(Struct, frozen=True):
    """The path of one image. An open extension goes between the ``parts``."""

    parts: tuple[str, ...]

    @property
    def open(self) -> bool:
        """Return True if the extension depends on the image's bytes."""
        return len(self.parts) > 1

    @property
    def paths(self) -> tuple[str, ...]:
        """Return every possible path, one for each extension."""
        return tuple([extension.join(self.parts) for extension in EXTENSIONS]) if self.open else self.parts

    @property
    def case_insensitive_keys(self) -> tuple[str, ...]:
        """Return the :func:`case_insensitive_key` of each of ``paths``."""
        parts = [case_insensitive_key(part) for part in self.parts]
        return tuple([extension.join(parts) for extension in EXTENSIONS]) if self.open else tuple(parts)

    def path(self, extension: str) -> str:
        """Return the path with this extension (``png``, without a dot)."""
        return extension.join(self.parts)

    def template(self, folder: str) -> str:
        """Return the template of an OutputTemplate: the path in ``folder`` (absolute), with ``{ext}``."""
        return "{ext}".join(
            part.replace("{", "{{").replace("}", "}}")
            for part in (os.path.join(folder, self.parts[0]), *self.parts[1:])
        )


class PathTemplate:
    """The template of a path, with fields, variables, and ``{dir}``, which is a template too.

    ``several`` adds ``-{n}`` before the extension if the path does not contain the number. Raises
    InvalidTemplate.
    """

    def __init__(
        self, text: str, *, variables: Mapping[str, str], folder: Sequence[Piece], several: bool
    ) -> None:
        pieces = parse_path(text, variables, folder=folder)
        sample = _fill(pieces, extension=_SAMPLE, field=_SAMPLE)
        _check_path(sample)
        if sample.endswith("/"):
            pieces += parse_path(_DEFAULT_NAME, {})
        components = list(_split(pieces))
        self._fields = frozenset(field for _, field in pieces if field is not None)
        if several and "n" not in self._fields:
            components[-1] = _insert_number(components[-1])
            self._fields |= {"n"}
        #: A component without fields is text. It is used unchanged: `..` must stay `..`.
        self._components: list[list[Piece] | str] = [
            component
            if any(field is not None for _, field in component)
            else "".join(literal for literal, _ in component)
            for component in components
        ]

    def target(self, name: str, number: int, request: GenerationRequest) -> TargetPath:
        """Return the path of image ``number`` (from 1) of an asset. Raises InvalidTemplate."""
        if self._fields <= _PLAIN_FIELDS:
            # The parser has checked the name with is_safe_name(), so it is inserted unchanged.
            values = {"name": name, "n": str(number), "ext": _OPEN_EXTENSION}
        else:
            words = slug(request.prompt) if "slug" in self._fields else ""
            fields = TemplateFields(
                words, "", request.model, request.aspect_ratio, request.quality, 0.0, name
            )
            values = {**fields.values(number=number, extension=""), "ext": _OPEN_EXTENSION}
        parts = []
        for component in self._components:
            if isinstance(component, str):
                part = component
            else:
                part = "".join([literal if field is None else values[field] for literal, field in component])
            # A character has at most four bytes, so only a long part can exceed the limit. --output shortens
            # a long name; here the author of the manifest can choose another.
            if len(part) > NAME_BYTES // 4 and (
                len(utf8(part.replace(_OPEN_EXTENSION, _LONGEST_EXTENSION))) > NAME_BYTES
            ):
                raise InvalidTemplate(f"has a name of more than {NAME_BYTES} bytes")
            parts.append(part if isinstance(component, str) else safe_component(part))
        path = inside_project("/".join(parts))
        return TargetPath(tuple(path.split(_OPEN_EXTENSION)))


class PathRegistry:
    """The paths in use, and the image that owns each of them.

    ``reserved`` maps names of files that no image can have to a description for messages.
    """

    def __init__(self, reserved: Mapping[str, str]) -> None:
        self._reserved = {case_insensitive_key(name): owner for name, owner in reserved.items()}
        self._files: dict[str, _Owner] = dict.fromkeys(self._reserved, ("", 0))
        self._folders: dict[str, _Owner] = {"": ("", 0)}

    def claim(self, target: TargetPath, owner: _Owner) -> str | None:
        """Reserve every possible path of an image. If one of them is in use, return the reason instead."""
        keys = target.case_insensitive_keys
        for index, key in enumerate(keys):
            if key in self._files:
                return f"leads to {target.paths[index]}, which is the place of {self._describe(key)}"
        for key in keys:
            self._files[key] = owner
        folder = keys[0].rpartition("/")[0]
        while folder not in self._folders:
            self._folders[folder] = owner
            folder = folder.rpartition("/")[0]
        return None

    def paths_through_files(self) -> Iterator[tuple[str, str]]:
        """Yield the name of each asset one of whose folders is another image's file, and the reason."""
        for folder, (name, _) in self._folders.items():
            if folder in self._files:
                yield name, f"leads through {folder}, which is the place of {self._describe(folder)}"

    def _describe(self, key: str) -> str:
        """Describe the owner of a path for a message."""
        name, number = self._files[key]
        if key in self._reserved:
            return self._reserved[key]
        return f"image {number} of assets.{name}" if number else f"assets.{name}"


def is_safe_name(name: str) -> bool:
    """Return True if a file name can contain it unchanged: letters, digits, marks, `._-`, 120 bytes."""
    return _PLAIN_NAME.fullmatch(name) is not None or safe_value(name) == name


def parse_path(
    text: str, variables: Mapping[str, str], *, folder: Sequence[Piece] | None = None
) -> list[Piece]:
    """Parse the template of a path, and replace its variables.

    ``{dir}`` is replaced by the pieces of ``folder``; without ``folder`` it is refused. Raises
    InvalidTemplate with every mistake.
    """
    known = [field for field in FIELDS if folder is not None or field != "dir"]
    pieces: list[Piece] = []
    # A dict, to keep the order and report a field only once.
    reasons: dict[str, None] = {}
    for literal, name in parse_template(text):
        if name is None:
            pieces.append((literal, None))
        elif name in variables:
            pieces.append((variables[name], None))
        elif name == "dir" and folder is not None:
            pieces += folder
        elif name in LATE_FIELDS:
            reasons[f"cannot have {braced(name)}: it must be known before there is a task"] = None
        elif name in known:
            pieces.append(("", name))
        else:
            names = ", ".join(map(braced, known))
            reasons[
                f"has {braced(name)}, which is neither a field nor a variable"
                f"{suggestion(name, (*known, *variables))}; fields are {names}"
            ] = None
    if reasons:
        raise InvalidTemplate(*reasons)
    return pieces


def parse_folder(text: str) -> list[Piece]:
    """Parse the value of ``{dir}``, which is a template too. Raises InvalidTemplate."""
    pieces = parse_path(text, {})
    folder = _fill(pieces, extension=_SAMPLE, field=_SAMPLE)
    if not folder:
        raise InvalidTemplate("is empty")
    _check_path(f"{folder}/{_SAMPLE}")
    inside_project(folder)
    return pieces


def inside_project(path: str) -> str:
    """Resolve ``.`` and ``..`` in a path. Raises InvalidTemplate if it leaves the project."""
    normalized = posixpath.normpath(path)
    if normalized == ".." or normalized.startswith(("../", "/")):
        raise InvalidTemplate("leaves the project")
    return normalized


def resolve_path(text: str) -> str:
    """Resolve a path without fields. Raises InvalidTemplate if it cannot be a file of the project."""
    _check_path(text)
    return inside_project(text)


def case_insensitive_key(path: str) -> str:
    """Return a key that is equal for paths which differ only in case or Unicode normalisation."""
    if path.isascii():
        return path.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", path).casefold())


def _fill(pieces: Sequence[Piece], *, extension: str, field: str) -> str:
    """Join the pieces, with ``extension`` for ``{ext}`` and ``field`` for every other field."""
    return "".join(
        literal if name is None else extension if name == "ext" else field for literal, name in pieces
    )


def _check_path(path: str) -> None:
    """Raise InvalidTemplate if the path is not a relative path with ``/``, or cannot be printed unchanged."""
    if not path:
        raise InvalidTemplate("is empty")
    if clean(path) != path:
        # Control characters and CI workflow commands. Paths are printed unchanged, one per line.
        raise InvalidTemplate("has what a terminal or a CI service's log would obey")
    if "\\" in path:
        raise InvalidTemplate("has a backslash: write / between folders")
    if path.startswith("/") or _DRIVE.match(path):
        raise InvalidTemplate("is absolute: paths are relative to the manifest's folder")
    if path == "-" or path.rpartition("/")[2] in (".", ".."):
        raise InvalidTemplate("names no file")


def _split(pieces: Sequence[Piece]) -> Iterator[list[Piece]]:
    """Yield the components of a path, which are separated by ``/``."""
    component: list[Piece] = []
    for literal, field in pieces:
        if field is not None:
            component.append((literal, field))
            continue
        first, *others = literal.split("/")
        component.append((first, None))
        for other in others:
            yield component
            component = [(other, None)]
    yield component


def _insert_number(component: Sequence[Piece]) -> list[Piece]:
    """Insert ``-{n}`` before the extension of a file name."""
    # One piece per character of _fill(), so that a position in its text is an index.
    characters: list[Piece] = []
    for literal, field in component:
        characters += [("", field)] if field is not None else [(character, None) for character in literal]
    filled = _fill(characters, extension=_OPEN_EXTENSION, field=_ANY_FIELD)
    match = _NAME_AND_EXTENSION.fullmatch(filled)
    end = match.start(2) if match else len(characters)
    return [*characters[:end], ("-", None), ("", "n"), *characters[end:]]

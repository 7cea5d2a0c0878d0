"""Where an image is to be: templates of paths within a project.

A path is text with ``/`` between folders, relative to the manifest's folder and without ``..``, the
same on every system. The kind of an image is only known from its bytes, so that a path with
``{ext}`` has its ending left open until there are some.
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
from .templates import Piece, WrongTemplate, pieces, shown

FIELDS = ("dir", "name", "n", "ext", "model", "ratio", "quality", "slug")
#: Fields of `--output` that a path cannot have.
LATE_FIELDS = ("task", "date", "time")
DEFAULT_PATH = "{dir}/{name}.{ext}"
#: What a folder's files are called.
_DEFAULT_NAME = "{name}.{ext}"

_PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,119}")
_DRIVE = re.compile(r"[A-Za-z]:")
#: Stand for the ending that is left open and for any other field: no path may have control characters.
_OPEN, _FIELD = "\x01", "\x02"
_STAND_IN = "field"
_ENDING = re.compile(rf"(\.*[^.].*)(\.(?:{_OPEN}|[A-Za-z0-9]{{1,16}}))", re.DOTALL)
_LONGEST_EXTENSION = max(EXTENSIONS, key=len)
#: Fields whose values are at hand; the others take as long as all the rest.
_CHEAP = {"name", "n", "ext"}


class TargetPath(Struct, frozen=True):
    """The path of one image; between ``parts`` stands its ending, where that is left open."""

    parts: tuple[str, ...]

    @property
    def open(self) -> bool:
        """Whether the ending follows the image's bytes."""
        return len(self.parts) > 1

    @property
    def paths(self) -> tuple[str, ...]:
        """Every path that it can become."""
        return tuple([extension.join(self.parts) for extension in EXTENSIONS]) if self.open else self.parts

    @property
    def same_file_keys(self) -> tuple[str, ...]:
        """:func:`same_file_key` of each of ``paths``."""
        parts = [case_insensitive_key(part) for part in self.parts]
        return tuple([extension.join(parts) for extension in EXTENSIONS]) if self.open else tuple(parts)

    def path(self, extension: str) -> str:
        """The path of an image of this kind (``png``, without a dot)."""
        return extension.join(self.parts)

    def template(self, folder: str) -> str:
        """What ``naming.Output`` takes: the path in ``folder`` (absolute), of which ``{ext}`` is left."""
        return "{ext}".join(_escaped(part) for part in (os.path.join(folder, self.parts[0]), *self.parts[1:]))


class PathTemplate:
    """A path's template. Its text takes fields, variables, and ``{dir}``, which is a template too.

    ``several`` adds ``-{n}`` before the ending where the number is not a part of the path already.
    Raises WrongTemplate with the reason.
    """

    def __init__(
        self, text: str, *, variables: Mapping[str, str], folder: Sequence[Piece], several: bool
    ) -> None:
        found = pieces_of_path(text, variables, folder=folder)
        text = _shape(found, open_ending=_STAND_IN, field=_STAND_IN)
        _check(text)
        if text.endswith("/"):
            found += pieces_of_path(_DEFAULT_NAME, {})
        components = list(_split(found))
        self.used = frozenset(field for _, field in found if field is not None)
        if several and "n" not in self.used:
            components[-1] = _numbered(components[-1])
            self.used |= {"n"}
        self._components = [_joined(each) for each in components]

    def wanted(self, name: str, number: int, request: GenerationRequest) -> TargetPath:
        """Where image ``number`` (1…) of the asset goes. Raises WrongTemplate with the reason."""
        values = self._values(name, number, request)
        parts = []
        for component in self._components:
            if isinstance(component, str):
                part = component
            else:
                part = "".join([literal if field is None else values[field] for literal, field in component])
            if len(part) > NAME_BYTES // 4:
                # Where --output would shorten a name: here its author can choose another.
                _check_length(part)
            parts.append(part if isinstance(component, str) else safe_component(part))
        path = inside_project("/".join(parts))
        return TargetPath(tuple(path.split(_OPEN)))

    def _values(self, name: str, number: int, request: GenerationRequest) -> dict[str, str]:
        if self.used <= _CHEAP:
            # An asset's name is one that safe_value() leaves alone.
            return {"name": name, "n": str(number), "ext": _OPEN}
        words = slug(request.prompt) if "slug" in self.used else ""
        fields = TemplateFields(words, "", request.model, request.aspect_ratio, request.quality, 0.0, name)
        return {**fields.values(number=number, extension=""), "ext": _OPEN}


def is_safe_name(name: str) -> bool:
    """Whether it can stand in any file's name as it is: letters, digits, marks and `._-`, 120 bytes."""
    return _PLAIN_NAME.fullmatch(name) is not None or safe_value(name) == name


def pieces_of_path(
    text: str, variables: Mapping[str, str], *, folder: Sequence[Piece] | None = None
) -> list[Piece]:
    """The pieces of a path's template, with variables and ``folder`` (for ``{dir}``) put in."""
    known = [field for field in FIELDS if folder is not None or field != "dir"]
    found: list[Piece] = []
    wrong: dict[str, None] = {}
    for literal, name in pieces(text):
        if name is None:
            found.append((literal, None))
        elif name in variables:
            found.append((variables[name], None))
        elif name == "dir" and folder is not None:
            found += folder
        elif name in LATE_FIELDS:
            wrong[f"cannot have {shown(name)}: it must be known before there is a task"] = None
        elif name in known:
            found.append(("", name))
        else:
            names = ", ".join(map(shown, known))
            wrong[
                f"has {shown(name)}, which is neither a field nor a variable"
                f"{suggestion(name, (*known, *variables))}; fields are {names}"
            ] = None
    if wrong:
        raise WrongTemplate(*wrong)
    return found


def pieces_of_folder(text: str) -> list[Piece]:
    """The value of ``{dir}``: a template of its own. Raises WrongTemplate with the reason."""
    found = pieces_of_path(text, {})
    folder = _shape(found, open_ending=_STAND_IN, field=_STAND_IN)
    if not folder:
        raise WrongTemplate("is empty")
    _check(f"{folder}/{_STAND_IN}")
    inside_project(folder)
    return found


def inside_project(path: str) -> str:
    """The path with ``.`` and ``..`` folded, as text. Raises WrongTemplate where it leaves the project."""
    folded = posixpath.normpath(path)
    if folded == ".." or folded.startswith(("../", "/")):
        raise WrongTemplate("leaves the project")
    return folded


def path_of(text: str) -> str:
    """A path without fields, folded. Raises WrongTemplate for what is no path of a file in the project."""
    _check(text)
    return inside_project(text)


def case_insensitive_key(path: str) -> str:
    """What paths have in common that are one file where case, or the form of accents, makes no difference."""
    if path.isascii():
        return path.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", path).casefold())


def _shape(found: Sequence[Piece], *, open_ending: str, field: str) -> str:
    """The text with something in the places of its fields."""
    return "".join(
        literal if name is None else open_ending if name == "ext" else field for literal, name in found
    )


def _check(path: str) -> None:
    if not path:
        raise WrongTemplate("is empty")
    if clean(path) != path:
        # Paths are printed as they are, one a line.
        raise WrongTemplate("has what a terminal or a CI service's log would obey")
    if "\\" in path:
        raise WrongTemplate("has a backslash: write / between folders")
    if path.startswith("/") or _DRIVE.match(path):
        raise WrongTemplate("is absolute: paths are relative to the manifest's folder")
    if path == "-" or path.rpartition("/")[2] in (".", ".."):
        raise WrongTemplate("names no file")


def _check_length(component: str) -> None:
    if len(utf8(component.replace(_OPEN, _LONGEST_EXTENSION))) > NAME_BYTES:
        raise WrongTemplate(f"has a name of more than {NAME_BYTES} bytes")


def _split(found: Sequence[Piece]) -> Iterator[list[Piece]]:
    """The components of a path."""
    component: list[Piece] = []
    for literal, field in found:
        if field is not None:
            component.append((literal, field))
            continue
        first, *others = literal.split("/")
        component.append((first, None))
        for other in others:
            yield component
            component = [(other, None)]
    yield component


def _joined(component: Sequence[Piece]) -> Sequence[Piece] | str:
    """A component without fields as text: that is its author's, and `..` must stay `..`."""
    if any(field is not None for _, field in component):
        return component
    return "".join(literal for literal, _ in component)


def _numbered(component: Sequence[Piece]) -> list[Piece]:
    """A file name with ``-{n}`` before its last ending."""
    single: list[Piece] = []
    for literal, field in component:
        single += [("", field)] if field is not None else [(sign, None) for sign in literal]
    with_ending = _ENDING.fullmatch(_shape(single, open_ending=_OPEN, field=_FIELD))
    place = with_ending.start(2) if with_ending else len(single)
    return [*single[:place], ("-", None), ("", "n"), *single[place:]]


def _escaped(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


#: An asset's name, and the number of its image if it has several, else 0. Of the project itself: "".
_Owner = tuple[str, int]


class PathRegistry:
    """The paths that are spoken for. ``reserved`` are names of the project's folder, and what has them."""

    def __init__(self, reserved: Mapping[str, str]) -> None:
        self._reserved = {case_insensitive_key(name): what for name, what in reserved.items()}
        self._files: dict[str, _Owner] = dict.fromkeys(self._reserved, ("", 0))
        self._folders: dict[str, _Owner] = {"": ("", 0)}

    def claim(self, wanted: TargetPath, owner: _Owner) -> str | None:
        """Speak for every path that ``wanted`` can become; what is wrong with that, if anything."""
        keys = wanted.same_file_keys
        for index, key in enumerate(keys):
            if key in self._files:
                return f"leads to {wanted.paths[index]}, which is the place of {self._shown(key)}"
        for key in keys:
            self._files[key] = owner
        folder = keys[0].rpartition("/")[0]
        while folder not in self._folders:
            self._folders[folder] = owner
            folder = folder.rpartition("/")[0]
        return None

    def under_files(self) -> Iterator[tuple[str, str]]:
        """Assets whose paths lead through what is another image's file, and what is wrong with them."""
        for folder, (name, _) in self._folders.items():
            if folder in self._files:
                yield name, f"leads through {folder}, which is the place of {self._shown(folder)}"

    def _shown(self, key: str) -> str:
        name, number = self._files[key]
        if key in self._reserved:
            return self._reserved[key]
        return f"image {number} of assets.{name}" if number else f"assets.{name}"

"""Output paths: templates such as ``{slug}-{task}.{ext}``, and the values of their fields.

The user's own text is trusted and kept as it is. The values of fields are not: prompts, task ids and model
names come from elsewhere. A value can neither lead out of its folder nor make an invalid name.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Iterable, Mapping
from itertools import takewhile
from pathlib import Path

from msgspec import Struct

from ..errors import InvalidOutput
from ..models import Operation
from .safe_names import (
    NAME_BYTES,
    NO_SLUG,
    is_device,
    safe_component,
    safe_value,
    slug,
    split_ending,
    truncate_utf8,
    utf8,
)

DEFAULT_TEMPLATE = "{slug}-{task}.{ext}"
FIELDS = ("slug", "task", "n", "ext", "date", "time", "model", "ratio", "quality", "name")
#: Possible values of ``{ext}``.
EXTENSIONS = ("png", "jpg", "webp")

#: Part of an error message.
_KNOWN_FIELDS = "fields are " + ", ".join(f"{{{field}}}" for field in FIELDS)

_ID_ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"

_TOKEN = re.compile(r"\{\{|\}\}|\{(?P<field>[^{}]*)\}|[{}]|[^{}]+")
_SEPARATOR = re.compile(f"[{re.escape(os.sep + (os.altsep or ''))}]")
_TEMPLATE_WITH_ENDING = re.compile(r"(\.*[^.].*)(\.(?:\{ext\}|[A-Za-z0-9]{1,16}))", re.DOTALL)


class TemplateFields(Struct, frozen=True):
    """The values of a template's fields, before they are made safe. ``created`` is in Unix seconds."""

    slug: str
    task: str
    model: str
    ratio: str
    quality: str
    created: float
    name: str = ""

    def values(self, *, number: int, extension: str) -> dict[str, str]:
        """Return the value of each field, safe for use in a name. Date and time are local."""
        created = time.localtime(self.created)
        values = {
            "slug": self.slug,
            "task": self.task,
            "n": str(number),
            "ext": extension,
            "date": time.strftime("%Y-%m-%d", created),
            "time": time.strftime("%H%M%S", created),
            "model": self.model,
            "ratio": self.ratio.replace(":", "x"),
            "quality": self.quality,
            "name": self.name,
        }
        return {field: safe_value(value) for field, value in values.items()}


def fields_of(operation: Operation) -> TemplateFields:
    """Return the fields of an operation. Those not known of another machine's task are empty."""
    task, request = operation.task_id or "", operation.request
    if request is None:
        return TemplateFields(NO_SLUG, task, "", "", "", operation.created)
    return TemplateFields(
        slug(request.prompt), task, request.model, request.aspect_ratio, request.quality, operation.created
    )


class OutputTemplate(Struct, frozen=True):
    """Where the images of an operation go.

    ``template`` is absolute, or "" for stdout. It is recorded in the history. Printed paths are relative to
    the folder ``relative_to``; None if they are absolute.
    """

    template: str
    relative_to: str | None = None
    stdout: bool = False

    @property
    def explicit_ending(self) -> bool:
        """Return True if the file name has an ending of its own, whatever the image's format."""
        return not self.stdout and "ext" not in _fields_in([self._components()[-1]])

    def target(self, fields: TemplateFields, *, number: int, several: bool, extension: str) -> Path:
        """Return the absolute path of image ``number`` (from 1) of a task that has ``several`` or one."""
        components = self._components()
        if several and "n" not in _fields_in(components):
            components[-1] = _add_number(components[-1])
        values = fields.values(number=number, extension=extension)
        return Path(os.sep.join(_expand(component, values) for component in components))

    def for_batch_item(self, number: int) -> OutputTemplate:
        """Return the template for task ``number`` (from 1) of several that are requested together.

        ``{n}`` becomes the number. Without ``{n}``, the number is added to the name unless ``{task}`` makes
        that unique. If a task then has several images, their own numbers are added after it.
        """
        components = self._components()
        if "n" not in _fields_in(components):
            if "task" in _fields_in(components):
                return self
            components[-1] = _add_number(components[-1])
        template = _TOKEN.sub(
            lambda token: str(number) if token["field"] == "n" else token[0], os.sep.join(components)
        )
        return OutputTemplate(template, self.relative_to)

    def possible_targets(self, fields: TemplateFields) -> list[Path]:
        """Return the paths that the image may get, before there is a task; [] if they depend on its id."""
        if self.stdout or "task" in _fields_in(self._components()):
            return []
        extensions = EXTENSIONS if "ext" in _fields_in(self._components()) else EXTENSIONS[:1]
        return [self.target(fields, number=1, several=False, extension=extension) for extension in extensions]

    def folder(self, fields: TemplateFields) -> Path:
        """Return the deepest folder that is known before there is a task, absolute."""
        values = fields.values(number=1, extension=EXTENSIONS[0])
        known = []
        for component in self._components()[:-1]:
            if _fields_in([component]) & {"task", "n", "ext"}:
                break
            known.append(_expand(component, values))
        return Path(os.sep.join([*known, ""]))

    def display_path(self, path: str) -> str:
        """Return an absolute path as it is printed: relative if the output was given so."""
        if self.relative_to is None:
            return path
        # os.path.relpath would remove `link/..`, which names another folder if `link` is a symbolic link.
        parts, base = Path(path).parts, Path(self.relative_to).parts
        if parts[:1] != base[:1]:
            return path
        common = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(parts, base, strict=False)))
        return os.path.join("", *[os.pardir] * (len(base) - common), *parts[common:])

    def _components(self) -> list[str]:
        if self.stdout:
            raise ValueError("standard output has no path")
        return _SEPARATOR.split(self.template)


def parse_output(text: str | None, *, cwd: str) -> OutputTemplate:
    """Parse ``--output``: a file, a folder, a template, ``-``, or None for the default in ``cwd``.

    Raises InvalidOutput for a template with a mistake, and for text that does not name a file.
    """
    if text == "-":
        return OutputTemplate("", None, stdout=True)
    template = DEFAULT_TEMPLATE if text is None else _complete_template(text, cwd)
    drive, rest = os.path.splitdrive(template)
    if not drive and _SEPARATOR.match(rest):
        # On Windows, a path without a drive is on the current one.
        template = os.path.splitdrive(cwd)[0] + template
    elif drive and not _SEPARATOR.match(rest):
        raise InvalidOutput(f"the output {text!r} names a drive and no folder of it")
    if drive or _SEPARATOR.match(rest):
        return OutputTemplate(template)
    components = _SEPARATOR.split(template)
    folder = cwd
    # Resolve leading `..`, so that history and JSON contain plain paths. os.getcwd() has no symbolic links.
    while components[0] in (os.curdir, os.pardir, ""):
        folder = os.path.dirname(folder) if components.pop(0) == os.pardir else folder
    return OutputTemplate(os.path.join(_escape(folder), os.sep.join(components)), relative_to=cwd)


def _complete_template(text: str, cwd: str) -> str:
    """Return the template for ``--output TEXT``: with the default file name if the text names a folder."""
    if not text:
        raise InvalidOutput("the output is empty")
    try:
        nameable = "\0" not in text and bool(os.fsencode(text))
    except UnicodeEncodeError:
        nameable = False
    if not nameable:
        raise InvalidOutput(f"the output {text!r} has a character that no file name can have")
    # An existing folder is taken literally, even if its name looks like a template.
    if os.path.isdir(os.path.join(cwd, text)):
        return os.path.join(_escape(text), DEFAULT_TEMPLATE)
    pieces = _parse_template(text)
    literal = "".join(literal for literal, _ in pieces)
    if not _fields_in([text]) and os.path.isdir(os.path.join(cwd, literal)):
        return os.path.join(text, DEFAULT_TEMPLATE)
    name = _SEPARATOR.split(text)[-1]
    if name in (os.curdir, os.pardir):
        raise InvalidOutput(f"the output {text!r} names no file")
    if os.name == "nt" and (is_device(name) or ":" in os.path.splitdrive(text)[1]):
        # The image would go to a device, or into an alternate data stream of another file.
        raise InvalidOutput(f"the output {text!r} is no name that a file can have on Windows")
    return text if name else text + DEFAULT_TEMPLATE


def _escape(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


def _parse_template(template: str) -> list[tuple[str, str]]:
    """Return pairs (literal text, field name), one of which is empty. Raises InvalidOutput."""
    pieces: list[tuple[str, str]] = []
    for token in _TOKEN.finditer(template):
        literal, field = token[0], token["field"]
        if field is not None:
            if field not in FIELDS:
                from difflib import get_close_matches

                close = get_close_matches(field.lower(), FIELDS, n=1)
                suggestion = f"did you mean {{{close[0]}}}? " if close else ""
                raise InvalidOutput(
                    f"the output has an unknown field {field[:40]!r}: {suggestion}{_KNOWN_FIELDS}"
                )
            pieces.append(("", field))
        elif literal in ("{", "}"):
            raise InvalidOutput(
                f"the output has a lone {literal}: write {literal * 2} for a brace; {_KNOWN_FIELDS}"
            )
        else:
            pieces.append((literal[0] if literal in ("{{", "}}") else literal, ""))
    return pieces


def _fields_in(components: Iterable[str]) -> set[str]:
    """Return the names of the fields that the templates contain."""
    return {field for component in components for _, field in _parse_template(component) if field}


def _add_number(name: str) -> str:
    """Return a file name's template with ``-{n}`` before its last suffix."""
    with_ending = _TEMPLATE_WITH_ENDING.fullmatch(name)
    stem, ending = with_ending.groups() if with_ending else (name, "")
    return f"{stem}-{{n}}{ending}"


def _expand(component: str, values: Mapping[str, str]) -> str:
    """Replace the fields by their values, and make the result a safe name."""
    pieces = _parse_template(component)
    name = "".join(values[field] if field else literal for literal, field in pieces)
    # Text without fields is the user's own and stays as it is: `..` must remain `..`.
    return safe_component(name) if any(field for _, field in pieces) else name


def free_name(path: Path, attempt: int) -> Path:
    """Return another name in the same folder: ``fox.png`` becomes ``fox-2.png`` for attempt 2."""
    stem, ending = split_ending(path.name)
    tail = f"-{attempt}{ending}"
    return path.with_name(truncate_utf8(stem, NAME_BYTES - len(utf8(tail))) + tail)


def sidecar_path(image: Path) -> Path:
    """Return the path of an image's sidecar: ``fox.png.json`` for ``fox.png``."""
    return image.with_name(truncate_utf8(image.name, NAME_BYTES - len(".json")) + ".json")


def part_path(target: Path, operation_id: str, number: int) -> Path:
    """Return the path of the partial file of image ``number``: hidden, in the folder of its target."""
    return target.with_name(f".seedream-{safe_value(operation_id)}-{number}.part")


def new_operation_id() -> str:
    """Return a random id, such as ``op_k3v9x0ab``."""
    return _operation_id(os.urandom(32))


def external_operation_id(task_id: str) -> str:
    """Return the id for a task that another machine created: always the same for one task."""
    return _operation_id(hashlib.sha256(utf8(task_id)).digest())


def _operation_id(entropy: bytes) -> str:
    return "op_" + "".join(_ID_ALPHABET[byte % len(_ID_ALPHABET)] for byte in entropy[:8])

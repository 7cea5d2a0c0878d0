"""Where images go: templates, and the values of their fields.

The user's own text is trusted and kept as it is. A field's value is not: prompts, task ids and
model names come from elsewhere, so a value can neither leave the folder that it stands in nor make
a name that cannot be used.
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
#: What ``{ext}`` can become.
EXTENSIONS = ("png", "jpg", "webp")

_KNOWN = "fields are " + ", ".join(f"{{{field}}}" for field in FIELDS)

_ID_ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"

_TOKEN = re.compile(r"\{\{|\}\}|\{(?P<field>[^{}]*)\}|[{}]|[^{}]+")
_SEPARATOR = re.compile(f"[{re.escape(os.sep + (os.altsep or ''))}]")
_ENDING_OF_TEMPLATE = re.compile(r"(\.*[^.].*)(\.(?:\{ext\}|[A-Za-z0-9]{1,16}))", re.DOTALL)


class TemplateFields(Struct, frozen=True):
    """The values of a template's fields, as they are known. ``created`` is in Unix seconds."""

    slug: str
    task: str
    model: str
    ratio: str
    quality: str
    created: float
    name: str = ""

    def values(self, *, number: int, extension: str) -> dict[str, str]:
        """Field → value that is safe to stand in a name. Date and time are local."""
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
    """The fields of an operation. What is not known of another machine's task stays empty."""
    task, request = operation.task_id or "", operation.request
    if request is None:
        return TemplateFields(NO_SLUG, task, "", "", "", operation.created)
    return TemplateFields(
        slug(request.prompt), task, request.model, request.aspect_ratio, request.quality, operation.created
    )


class OutputTemplate(Struct, frozen=True):
    """Where the images of an operation go.

    ``template`` is absolute, "" for stdout; it is what the history keeps. ``relative_to`` is the
    folder that printed paths are relative to, None if they are absolute.
    """

    template: str
    relative_to: str | None = None
    stdout: bool = False

    @property
    def explicit_ending(self) -> bool:
        """The name keeps its ending whatever the bytes are."""
        return not self.stdout and "ext" not in _used([self._components()[-1]])

    def target(self, fields: TemplateFields, *, number: int, several: bool, extension: str) -> Path:
        """The absolute path of image ``number`` (1…) of a task that has ``several`` or one."""
        components = self._components()
        if several and "n" not in _used(components):
            components[-1] = _numbered(components[-1])
        values = fields.values(number=number, extension=extension)
        return Path(os.sep.join(_expanded(component, values) for component in components))

    def for_batch_item(self, number: int) -> OutputTemplate:
        """The place of task ``number`` (1…) of several that are asked for together.

        The number becomes part of the name, unless the task's id makes it one of its own: `{n}` is of the
        call then, and the images of one task are counted behind it.
        """
        components = self._components()
        if "n" not in _used(components):
            if "task" in _used(components):
                return self
            components[-1] = _numbered(components[-1])
        template = _TOKEN.sub(
            lambda token: str(number) if token["field"] == "n" else token[0], os.sep.join(components)
        )
        return OutputTemplate(template, self.relative_to)

    def possible_targets(self, fields: TemplateFields) -> list[Path]:
        """The paths that can be told before there is a task: none if they depend on its id."""
        if self.stdout or "task" in _used(self._components()):
            return []
        extensions = EXTENSIONS if "ext" in _used(self._components()) else EXTENSIONS[:1]
        return [self.target(fields, number=1, several=False, extension=each) for each in extensions]

    def folder(self, fields: TemplateFields) -> Path:
        """The deepest folder that is certain before there is a task, absolute."""
        values = fields.values(number=1, extension=EXTENSIONS[0])
        certain = []
        for component in self._components()[:-1]:
            if _used([component]) & {"task", "n", "ext"}:
                break
            certain.append(_expanded(component, values))
        return Path(os.sep.join([*certain, ""]))

    def shown(self, path: str) -> str:
        """An absolute path as it is printed: relative where the output was given as relative."""
        if self.relative_to is None:
            return path
        # os.path.relpath would fold `link/..`, which names another folder when `link` is a symlink.
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
    """Read ``--output``: a file, a folder, a template, ``-``, or None for the default in ``cwd``.

    Raises InvalidOutput for what names no file and for a template that cannot be understood.
    """
    if text == "-":
        return OutputTemplate("", None, stdout=True)
    template = DEFAULT_TEMPLATE if text is None else _template(text, cwd)
    drive, rest = os.path.splitdrive(template)
    if not drive and _SEPARATOR.match(rest):
        # On Windows, the current drive's.
        template = os.path.splitdrive(cwd)[0] + template
    elif drive and not _SEPARATOR.match(rest):
        raise InvalidOutput(f"the output {text!r} names a drive and no folder of it")
    if drive or _SEPARATOR.match(rest):
        return OutputTemplate(template)
    components = _SEPARATOR.split(template)
    folder = cwd
    # Folded so that history and JSON show plain paths; what os.getcwd() says has no symlinks in it.
    while components[0] in (os.curdir, os.pardir, ""):
        folder = os.path.dirname(folder) if components.pop(0) == os.pardir else folder
    return OutputTemplate(os.path.join(_escaped(folder), os.sep.join(components)), relative_to=cwd)


def _template(text: str, cwd: str) -> str:
    if not text:
        raise InvalidOutput("the output is empty")
    try:
        nameable = "\0" not in text and bool(os.fsencode(text))
    except UnicodeEncodeError:
        nameable = False
    if not nameable:
        raise InvalidOutput(f"the output {text!r} has a character that no file name can have")
    # A folder that exists is meant literally, even if its name looks like a template.
    if os.path.isdir(os.path.join(cwd, text)):
        return os.path.join(_escaped(text), DEFAULT_TEMPLATE)
    pieces = _pieces(text)
    literal = "".join(literal for literal, _ in pieces)
    if not _used([text]) and os.path.isdir(os.path.join(cwd, literal)):
        return os.path.join(text, DEFAULT_TEMPLATE)
    name = _SEPARATOR.split(text)[-1]
    if name in (os.curdir, os.pardir):
        raise InvalidOutput(f"the output {text!r} names no file")
    if os.name == "nt" and (is_device(name) or ":" in os.path.splitdrive(text)[1]):
        # The image would go to a device, or be hidden behind another file's name.
        raise InvalidOutput(f"the output {text!r} is no name that a file can have on Windows")
    return text if name else text + DEFAULT_TEMPLATE


def _escaped(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


def _pieces(template: str) -> list[tuple[str, str]]:
    """A template as pairs of literal text and field name, of which one is empty. Raises InvalidOutput."""
    pieces = []
    for token in _TOKEN.finditer(template):
        literal, field = token[0], token["field"]
        if field is not None:
            if field not in FIELDS:
                raise _unknown_field(field)
            pieces.append(("", field))
        elif literal in ("{", "}"):
            raise InvalidOutput(f"the output has a lone {literal}: write {literal * 2} for a brace; {_KNOWN}")
        else:
            pieces.append((literal[0] if literal in ("{{", "}}") else literal, ""))
    return pieces


def _unknown_field(field: str) -> InvalidOutput:
    from difflib import get_close_matches

    close = get_close_matches(field.lower(), FIELDS, n=1)
    suggestion = f"did you mean {{{close[0]}}}? " if close else ""
    return InvalidOutput(f"the output has an unknown field {field[:40]!r}: {suggestion}{_KNOWN}")


def _used(components: Iterable[str]) -> set[str]:
    return {field for component in components for _, field in _pieces(component) if field}


def _numbered(name: str) -> str:
    """A file name's template with ``-{n}`` before its last suffix."""
    with_ending = _ENDING_OF_TEMPLATE.fullmatch(name)
    stem, ending = with_ending.groups() if with_ending else (name, "")
    return f"{stem}-{{n}}{ending}"


def _expanded(component: str, values: Mapping[str, str]) -> str:
    pieces = _pieces(component)
    name = "".join(values[field] if field else literal for literal, field in pieces)
    # What the user wrote without a field is theirs: `..` must stay `..`.
    return safe_component(name) if any(field for _, field in pieces) else name


def free_name(path: Path, attempt: int) -> Path:
    """Another name beside a taken one: ``fox.png`` → ``fox-2.png`` for attempt 2."""
    stem, ending = split_ending(path.name)
    tail = f"-{attempt}{ending}"
    return path.with_name(truncate_utf8(stem, NAME_BYTES - len(utf8(tail))) + tail)


def sidecar_path(image: Path) -> Path:
    """What describes the image: ``fox.png`` has ``fox.png.json`` beside it."""
    return image.with_name(truncate_utf8(image.name, NAME_BYTES - len(".json")) + ".json")


def part_path(target: Path, operation_id: str, number: int) -> Path:
    """The hidden file of the target's folder in which image ``number`` grows."""
    return target.with_name(f".seedream-{safe_value(operation_id)}-{number}.part")


def new_operation_id() -> str:
    return _operation_id(os.urandom(32))


def external_operation_id(task_id: str) -> str:
    """The id under which a task of another machine is known here: always the same."""
    return _operation_id(hashlib.sha256(utf8(task_id)).digest())


def _operation_id(entropy: bytes) -> str:
    return "op_" + "".join(_ID_ALPHABET[byte % len(_ID_ALPHABET)] for byte in entropy[:8])

"""Everything that is wrong with a manifest, each with its line and key, while reading goes on."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property, lru_cache
from typing import Any, TypeGuard

from ..errors import Diagnostic, InvalidFile, InvalidLockfile, InvalidManifest
from ..settings.schema import did_you_mean
from .toml_lines import TomlLineIndex

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


class DiagnosticCollector:
    """What is wrong with the manifest of this ``text``, which is named as ``file``."""

    def __init__(self, text: str, file: str) -> None:
        self.problems: list[Diagnostic] = []
        self._text = text
        self._file = file

    @cached_property
    def _lines(self) -> TomlLineIndex:
        # Only what is wrong needs a line.
        return TomlLineIndex(self._text)

    def add(self, keys: Keys, *reasons: str) -> None:
        line = self._lines.line_of(*keys)
        self.problems += (Diagnostic(self._file, line, dotted(keys), reason) for reason in reasons)

    def is_text(self, value: object, keys: Keys) -> TypeGuard[str]:
        if not isinstance(value, str):
            self.add(keys, f"is {kind(value)}, not text")
            return False
        return True

    def refuse_unknown(self, keys: Keys, table: Table, known: tuple[str, ...]) -> None:
        for name in table:
            if name not in known:
                self.add((*keys, name), f"is unknown{suggestion(name, known) or _choice(known)}")


def _choice(known: Sequence[str]) -> str:
    return f": there {'is' if len(known) == 1 else 'are'} {', '.join(known)}"


def kind(value: object) -> str:
    """A TOML value's kind, with its article."""
    for each, name in _KINDS.items():
        if isinstance(value, each):
            return name
    return "a date or a time"


__all__ = ["Diagnostic", "InvalidFile", "InvalidLockfile", "InvalidManifest", "dotted", "suggestion"]

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")

#: Ten thousand assets can have the same slip.
suggestion = lru_cache(did_you_mean)


def dotted(keys: Iterable[str]) -> str:
    """A key's parts as TOML writes them: quoted where they have to be."""
    return ".".join(key if _BARE_KEY.fullmatch(key) else f'"{key}"' for key in keys)

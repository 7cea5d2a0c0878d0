"""Collect all mistakes of a manifest before reporting them, each with its file, line and key."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cached_property, lru_cache
from typing import Any, TypeGuard

from ..errors import Diagnostic
from ..settings.schema import did_you_mean
from .toml_lines import TomlLineIndex

Keys = tuple[str, ...]
"""The parts of a dotted key, such as ``("assets", "hero", "prompt")``."""
Table = Mapping[str, Any]
"""A TOML table, as tomllib returns it."""

#: TOML types and their names in messages. The order matters: a Python bool is also an int.
_TYPE_NAMES = {
    str: "text",
    bool: "a boolean",
    int: "a number",
    float: "a number",
    list: "an array",
    dict: "a table",
}
#: Keys that TOML lets one write without quotes.
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")

#: Cached, because ten thousand assets can have the same mistake.
suggestion = lru_cache(did_you_mean)


class DiagnosticCollector:
    """Collects the mistakes of a manifest, whose text is ``text`` and whose name in messages is ``file``."""

    def __init__(self, text: str, file: str) -> None:
        self.problems: list[Diagnostic] = []
        self._text = text
        self._file = file

    @cached_property
    def _lines(self) -> TomlLineIndex:
        # Built for the first mistake; a valid manifest needs no line numbers.
        return TomlLineIndex(self._text)

    def add(self, keys: Keys, *reasons: str) -> None:
        """Add a mistake of the key for each reason."""
        line = self._lines.line_of(*keys)
        self.problems += (Diagnostic(self._file, line, dotted(keys), reason) for reason in reasons)

    def is_text(self, value: object, keys: Keys) -> TypeGuard[str]:
        """Return True if the value is a string. Add a mistake otherwise."""
        if not isinstance(value, str):
            self.add(keys, f"is {type_name(value)}, not text")
            return False
        return True

    def refuse_unknown(self, keys: Keys, table: Table, known: tuple[str, ...]) -> None:
        """Add a mistake for each key of the table that is not in ``known``."""
        for name in table:
            if name not in known:
                choices = f": there {'is' if len(known) == 1 else 'are'} {', '.join(known)}"
                self.add((*keys, name), f"is unknown{suggestion(name, known) or choices}")


def type_name(value: object) -> str:
    """Return the name of a TOML value's type, with its article."""
    for toml_type, name in _TYPE_NAMES.items():
        if isinstance(value, toml_type):
            return name
    return "a date or a time"


def dotted(keys: Iterable[str]) -> str:
    """Join the parts of a key as TOML writes them, with quotes where needed."""
    return ".".join(key if _BARE_KEY.fullmatch(key) else f'"{key}"' for key in keys)

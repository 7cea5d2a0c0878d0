"""Line numbers of the keys of a TOML file. tomllib returns values without them."""

from __future__ import annotations

import re
import tomllib

_PART = r"""(?:[A-Za-z0-9_-]++|"(?:[^"\\\n]|\\.)*+"|'[^'\n]*+')"""
_KEY = rf"{_PART}(?:[ \t]*+\.[ \t]*+{_PART})*+"
_BLANK = re.compile(r"(?:[ \t\r\n]++|\#[^\n]*+)*+")
_HEADER = re.compile(rf"\[\[?[ \t]*+(?P<key>{_KEY})[ \t]*+\]")
_ASSIGNMENT = re.compile(rf"(?P<key>{_KEY})[ \t]*+=")
#: The tokens that matter to find the end of a value. A multi-line string may end with up to two quotes of its
#: content before the three closing quotes.
_TOKEN = re.compile(
    r'''"""(?:[^"\\]++|\\.|"(?!""))*+"{3,5}'''
    r"""|'''(?:[^']++|'(?!''))*+'{3,5}"""
    r"""|"(?:[^"\\\n]++|\\.)*+"|'[^'\n]*+'"""
    r"""|\#[^\n]*+|[^"'\#\[\]{}\n]++|.""",
    re.DOTALL,
)
#: Deeper keys are never looked up. The limit bounds the memory for a key with many dots.
_MAX_DEPTH = 8


class TomlLineIndex:
    """The line, from 1, of each key of a TOML text. For an invalid text the index is incomplete."""

    def __init__(self, text: str) -> None:
        self._line_of_key: dict[tuple[str, ...], int] = {}
        #: Keys with a line of their own. The others have the line of the first key inside them.
        self._explicit: set[tuple[str, ...]] = set()
        self._scan(text)

    def line_of(self, *keys: str) -> int:
        """Return the line on which a key begins, or its innermost table, or 1.

        Keys in an inline table or an array have the line of the key that it belongs to.
        """
        for length in range(len(keys), 0, -1):
            if (line := self._line_of_key.get(keys[:length])) is not None:
                return line
        return 1

    def _scan(self, text: str) -> None:
        table: tuple[str, ...] = ()
        line = 1
        position = 0
        # Line feeds before this position are counted in `line`.
        counted = 0
        while (position := _skip(_BLANK, text, position)) < len(text):
            line += text.count("\n", counted, position)
            counted = position
            if header := _HEADER.match(text, position):
                table = _split_key(header["key"])
                self._record(table, line)
                position = _end_of_line(text, header.end())
            elif assignment := _ASSIGNMENT.match(text, position):
                self._record((*table, *_split_key(assignment["key"])), line)
                position = _end_of_value(text, assignment.end())
            else:
                position = _end_of_line(text, position)

    def _record(self, keys: tuple[str, ...], line: int) -> None:
        for length in range(1, min(len(keys), _MAX_DEPTH)):
            self._line_of_key.setdefault(keys[:length], line)
        # The header of a table wins over the header of a table inside it, which may come first.
        if keys not in self._explicit:
            self._explicit.add(keys)
            self._line_of_key[keys] = line


def _split_key(key: str) -> tuple[str, ...]:
    """Split a dotted key into its parts, without quotes."""
    if '"' not in key and "'" not in key:
        return tuple(part.strip(" \t") for part in key.split("."))
    try:
        value = tomllib.loads(f"{key} = 0")
    except ValueError:
        return (key,)
    parts = []
    while isinstance(value, dict):
        ((part, value),) = value.items()
        parts.append(part)
    return tuple(parts)


def _skip(pattern: re.Pattern[str], text: str, position: int) -> int:
    """Return the position after a match of the pattern at ``position``."""
    match = pattern.match(text, position)
    return match.end() if match else position


def _end_of_line(text: str, position: int) -> int:
    end = text.find("\n", position)
    return end if end >= 0 else len(text)


def _end_of_value(text: str, position: int) -> int:
    """Return the position of the line feed after a value, which may have arrays and multi-line strings."""
    depth = 0
    while position < len(text):
        character = text[position]
        if character == "\n" and depth <= 0:
            break
        depth += (character in "[{") - (character in "]}")
        position = _skip(_TOKEN, text, position)
    return position

"""Typesetting: break a text into lines, choose a font size, and find fonts. The caller measures widths."""

from __future__ import annotations

import os
import re
import sys
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path

_MAX_LINES = 6
_ELLIPSIS = "…"

#: Font sizes to try, as shares of the short side of the picture, with the maximum number of lines for each.
_SIZES = ((0.078, 2), (0.064, 3), (0.054, 4), (0.046, 5), (0.040, 6), (0.034, 6))

#: Six lines never hold more, and measuring takes time.
_MEASURED_CHARACTERS = 900

#: Text and font size in pixels → width in pixels.
Measure = Callable[[str, int], float]


def _is_closing_mark(char: str) -> bool:
    """Return True for punctuation that belongs to the text before it, in any script."""
    return unicodedata.category(char) in ("Pe", "Pf", "Po")


def is_dash(char: str) -> bool:
    return unicodedata.category(char) == "Pd"


def tidy(text: str) -> str:
    """Return one line of visible characters, without control, format and surrogate characters."""
    spaced = " ".join(text[: 4 * _MEASURED_CHARACTERS].split())
    # Variation selectors such as U+FE0F choose the form of an emoji and have no glyph.
    return "".join(
        char for char in spaced if unicodedata.category(char)[0] != "C" and not "\ufe00" <= char <= "\ufe0f"
    )


def set_text(text: str, width: float, short_side: int, measure: Measure) -> tuple[list[str], int]:
    """Return lines and font size in pixels: the largest size at which the text needs few enough lines."""
    measured = text[:_MEASURED_CHARACTERS]
    lines: list[str] = []
    size = 0
    for share, max_lines in _SIZES:
        size = round(short_side * share)
        lines = _wrap(measured, width, _at(size, measure))
        if len(lines) <= max_lines:
            return _balance(measured, lines, width, _at(size, measure)), size
    return _truncate(lines, width, _at(size, measure)), size


def _at(size: int, measure: Measure) -> Callable[[str], float]:
    return lambda part: measure(part, size)


def _balance(text: str, lines: list[str], width: float, measure: Callable[[str], float]) -> list[str]:
    """Return equally many lines of similar length, so that no single word is left on the last line."""
    for share in (0.6, 0.7, 0.8, 0.9):
        narrower = _wrap(text, width * share, measure)
        if len(narrower) == len(lines):
            return narrower
    return lines


def _truncate(lines: list[str], width: float, measure: Callable[[str], float]) -> list[str]:
    """Return the first lines, with an ellipsis at the end of the last."""
    kept = lines[:_MAX_LINES]
    last = kept[-1]
    while last and (last[-1].isspace() or is_dash(last[-1]) or _is_closing_mark(last[-1])):
        last = last[:-1]
    while last and measure(last + _ELLIPSIS) > width:
        last = last[:-1].rstrip()
    return [*kept[:-1], last + _ELLIPSIS]


def _wrap(text: str, width: float, measure: Callable[[str], float]) -> list[str]:
    """Break a text into lines no wider than ``width``, at spaces and between CJK characters."""
    lines: list[str] = []
    line = ""
    for piece in _pieces(text):
        if measure((line + piece).rstrip()) <= width:
            line += piece
            continue
        if line.strip():
            lines.append(line.rstrip())
        line = piece.lstrip()
        while len(line) > 1 and measure(line.rstrip()) > width:
            length = _fitting_length(line, width, measure)
            lines.append(line[:length])
            line = line[length:]
    return [*lines, line.rstrip()] if line.strip() else lines


def _fitting_length(word: str, width: float, measure: Callable[[str], float]) -> int:
    """Return how many characters of a too long word fit on a line."""
    count = 1
    while count < len(word) - 1 and measure(word[: count + 1]) <= width:
        count += 1
    return count


def _pieces(text: str) -> list[str]:
    """Split a text into unbreakable pieces: words with the space after them, single CJK characters."""
    pieces: list[str] = []
    for word in re.findall(r"\S+\s*", text):
        start = 0
        for end in range(1, len(word) + 1):
            if end == len(word) or _may_break(word[end - 1], word[end]):
                pieces.append(word[start:end])
                start = end
    return pieces


def _may_break(before: str, after: str) -> bool:
    # No line begins with a closing mark, in Chinese neither.
    if _is_closing_mark(after) or after.isspace():
        return False
    return _is_cjk(before) or _is_cjk(after)


def _is_cjk(char: str) -> bool:
    is_symbol = unicodedata.category(char) in ("So", "Sk", "Cn")
    return unicodedata.east_asian_width(char) in "WF" and not is_symbol


#: File names that begin like these, in lower case, best first.
_CHINESE = (
    "notosanscjk-regular",
    "notosanscjksc-regular",
    "notosanssc",
    "sourcehansanssc-regular",
    "sourcehansans-regular",
    "pingfang",
    "hiragino sans gb",
    "msyh.",
    "wqy-microhei",
    "wqy-zenhei",
    "droidsansfallback",
    "stheiti",
    "simhei",
    "arial unicode",
)
_WESTERN = (
    "notosans-regular",
    "segoeui.",
    "helveticaneue",
    "dejavusans.",
    "liberationsans-regular",
    "arial.",
)
_SUFFIXES = frozenset({".ttf", ".ttc", ".otf", ".otc"})


def _font_folders() -> list[Path]:
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA", "")
        folders = [Path(os.environ.get("WINDIR", r"C:\Windows"), "Fonts")]
        return [*folders, Path(local, "Microsoft", "Windows", "Fonts")] if local else folders
    home = Path(os.path.expanduser("~"))
    if sys.platform == "darwin":
        return [Path("/System/Library/Fonts"), Path("/Library/Fonts"), home / "Library/Fonts"]
    shared = [Path("/usr/share/fonts"), Path("/usr/local/share/fonts")]
    return [*shared, home / ".local/share/fonts", home / ".fonts"]


def chinese_fonts() -> Iterator[Path]:
    """Yield installed fonts with Chinese characters, best first."""
    return _installed(_CHINESE)


def western_fonts() -> Iterator[Path]:
    """Yield installed fonts with Latin, Greek and Cyrillic letters, best first."""
    return _installed(_WESTERN)


def _installed(names: tuple[str, ...]) -> Iterator[Path]:
    found = [
        Path(folder, file)
        for root in _font_folders()
        for folder, _, files in os.walk(root)
        for file in files
        if os.path.splitext(file)[1].lower() in _SUFFIXES
    ]
    for name in names:
        yield from sorted(path for path in found if path.name.lower().startswith(name))

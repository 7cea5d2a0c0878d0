"""Set text: break it into lines, choose a size, and find fonts. The caller measures widths."""

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

# Six lines never hold more, and measuring takes time.
_MEASURED_CHARACTERS = 900

Measure = Callable[[str, int], float]  # Text and font size in pixels → width in pixels.


def is_cjk(char: str) -> bool:
    return unicodedata.east_asian_width(char) in "WF" and not _is_symbol(char)


def _is_symbol(char: str) -> bool:
    return unicodedata.category(char) in ("So", "Sk", "Cn")


def _is_mark(char: str) -> bool:
    """Return True for punctuation that belongs to the text before it, in any script."""
    return unicodedata.category(char) in ("Pe", "Pf", "Po")


def is_dash(char: str) -> bool:
    return unicodedata.category(char) == "Pd"


def tidy(text: str) -> str:
    """Return one line of visible characters, without control, format and surrogate characters."""
    spaced = " ".join(text[: 4 * _MEASURED_CHARACTERS].split())
    return "".join(char for char in spaced if not _is_invisible(char))


def _is_invisible(char: str) -> bool:
    # Variation selectors such as U+FE0F choose the form of an emoji and have no glyph.
    return unicodedata.category(char)[0] == "C" or "\ufe00" <= char <= "\ufe0f"


def set_text(text: str, width: float, short_side: int, measure: Measure) -> tuple[list[str], int]:
    """Return lines and font size in pixels: the largest size at which the text needs few enough lines."""
    shown = text[:_MEASURED_CHARACTERS]
    lines: list[str] = []
    size = 0
    for share, most in _SIZES:
        size = round(short_side * share)
        lines = wrap(shown, width, _at(size, measure))
        if len(lines) <= most:
            return _balanced(shown, lines, width, _at(size, measure)), size
    return _shortened(lines, width, _at(size, measure)), size


def _at(size: int, measure: Measure) -> Callable[[str], float]:
    return lambda part: measure(part, size)


def _balanced(text: str, lines: list[str], width: float, measure: Callable[[str], float]) -> list[str]:
    """Return equally many lines of similar length, so that no single word is left on the last line."""
    for share in (0.6, 0.7, 0.8, 0.9):
        narrower = wrap(text, width * share, measure)
        if len(narrower) == len(lines):
            return narrower
    return lines


def _shortened(lines: list[str], width: float, measure: Callable[[str], float]) -> list[str]:
    kept = lines[:_MAX_LINES]
    last = kept[-1]
    while last and (last[-1].isspace() or is_dash(last[-1]) or _is_mark(last[-1])):
        last = last[:-1]
    while last and measure(last + _ELLIPSIS) > width:
        last = last[:-1].rstrip()
    return [*kept[:-1], last + _ELLIPSIS]


def wrap(text: str, width: float, measure: Callable[[str], float]) -> list[str]:
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
            head = _head(line, width, measure)
            lines.append(line[:head])
            line = line[head:]
    return [*lines, line.rstrip()] if line.strip() else lines


def _head(word: str, width: float, measure: Callable[[str], float]) -> int:
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
    if _is_mark(after) or after.isspace():
        return False
    return is_cjk(before) or is_cjk(after)


#: File names from the most to the least pleasant, as they begin, in lower case.
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


def _folders() -> list[Path]:
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
    """Fonts with Chinese characters that are there, best first."""
    return _installed(_CHINESE)


def western_fonts() -> Iterator[Path]:
    """Fonts with Latin, Greek and Cyrillic letters that are there, best first."""
    return _installed(_WESTERN)


def _installed(names: tuple[str, ...]) -> Iterator[Path]:
    found = [
        Path(folder, file)
        for root in _folders()
        for folder, _, files in os.walk(root)
        for file in files
        if os.path.splitext(file)[1].lower() in _SUFFIXES
    ]
    for name in names:
        yield from sorted(path for path in found if path.name.lower().startswith(name))

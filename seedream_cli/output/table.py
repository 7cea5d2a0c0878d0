"""Tables on stdout: tab-separated values in a pipe, aligned columns on a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from unicodedata import combining, east_asian_width

from ..text import clean


def table(rows: Sequence[Sequence[str]], *, width: int | None) -> list[str]:
    """Return the lines of a table.

    ``width`` is the terminal's width in columns. If it is None, values are separated by tabs and not cut.
    """
    cleaned = [[clean(cell) for cell in row] for row in rows]
    if width is None or not cleaned:
        return ["\t".join(row) for row in cleaned]
    *fixed, _ = zip(*cleaned, strict=True)
    widths = [max(map(display_width, cells)) for cells in fixed]
    lines = []
    for row in cleaned:
        cells = [cell + " " * (size - display_width(cell)) for cell, size in zip(row, widths, strict=False)]
        lines.append(fit_width("  ".join([*cells, row[-1]]).rstrip(), width))
    return lines


def display_width(text: str) -> int:
    """Return the number of terminal columns of a text: 2 for wide characters, 0 for combining ones."""
    return sum(0 if combining(char) else 2 if east_asian_width(char) in "WF" else 1 for char in text)


def fit_width(text: str, width: int) -> str:
    """Return the text, cut to ``width`` terminal columns with an ellipsis if it is wider."""
    if display_width(text) <= width:
        return text
    used = 0
    for end, char in enumerate(text):
        used += display_width(char)
        if used > width - 1:
            return text[:end].rstrip() + "…"
    return text

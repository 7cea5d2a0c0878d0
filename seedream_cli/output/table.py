"""Rows on stdout: tabs for programs, columns that fit the screen for people."""

from __future__ import annotations

from collections.abc import Sequence
from unicodedata import combining, east_asian_width

from ..text import clean


def table(rows: Sequence[Sequence[str]], *, width: int | None) -> list[str]:
    """Lines of a table; ``width`` is the screen's, None for a pipe: whole values with tabs between."""
    cleaned = [[clean(cell) for cell in row] for row in rows]
    if width is None or not cleaned:
        return ["\t".join(row) for row in cleaned]
    *fixed, _ = zip(*cleaned, strict=True)
    sizes = [max(map(columns, cells)) for cells in fixed]
    lines = []
    for row in cleaned:
        cells = [cell + " " * (size - columns(cell)) for cell, size in zip(row, sizes, strict=False)]
        lines.append(fitted("  ".join([*cells, row[-1]]).rstrip(), width))
    return lines


def columns(text: str) -> int:
    """How many columns of a terminal the text takes."""
    return sum(0 if combining(char) else 2 if east_asian_width(char) in "WF" else 1 for char in text)


def fitted(text: str, width: int) -> str:
    """The text, cut with an ellipsis where it is wider than the screen."""
    if columns(text) <= width:
        return text
    taken = 0
    for end, char in enumerate(text):
        taken += columns(char)
        if taken > width - 1:
            return text[:end].rstrip() + "…"
    return text

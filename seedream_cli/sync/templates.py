"""Texts with ``{name}`` in them: prompts, which take variables, and paths, which take fields too."""

from __future__ import annotations

import re

#: A literal text and None, or "" and the name between braces.
Piece = tuple[str, str | None]

_TOKEN = re.compile(r"(\{\{|\}\}|\{[^{}]*\}|[{}])")


class WrongTemplate(ValueError):
    """``args`` are the reasons, each a text that goes on behind "it"."""


def pieces(text: str) -> list[Piece]:
    """The text as pieces; ``{{`` and ``}}`` are braces. Raises WrongTemplate for one that stands alone."""
    found: list[Piece] = []
    literals = _TOKEN.split(text)
    for literal, token in zip(literals[::2], [*literals[1::2], ""], strict=True):
        if literal:
            found.append((literal, None))
        if token in ("{", "}"):
            raise WrongTemplate(f"has a lone {token}: write {token * 2} for a brace")
        if token in ("{{", "}}"):
            found.append((token[0], None))
        elif token:
            found.append(("", token[1:-1]))
    return found


def shown(name: str) -> str:
    """A name between its braces, as a message has it."""
    return f"{{{name[:40]}}}"

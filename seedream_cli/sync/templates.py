"""Texts with ``{name}`` in them: prompts, which take variables, and paths, which take fields too."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from .diagnostics import suggestion

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


#: No model takes a prompt that comes near.
_LARGEST_FILE = 1024 * 1024


def prompt_of(text: str, variables: Mapping[str, str]) -> str:
    """The text with its variables put in, whose own braces are text. Raises WrongTemplate."""
    if "{" not in text and "}" not in text:
        return text
    found = pieces(text)
    try:
        return "".join([literal if name is None else variables[name] for literal, name in found])
    except KeyError:
        unknown = dict.fromkeys(name for _, name in found if name is not None and name not in variables)
        raise WrongTemplate(*(_unknown(name, variables) for name in unknown)) from None


def _unknown(name: str, variables: Mapping[str, str]) -> str:
    if not name.replace("-", "_").isidentifier():
        return f"has {shown(name)}, which is no variable: write {{{{ and }}}} for braces"
    return f"has {shown(name)}, and no variable is called so{suggestion(name, tuple(variables))}"


def read_prompt(folder: Path, name: str) -> str:
    """The text of a prompt's file. Raises WrongTemplate with the reason."""
    path = folder / name
    try:
        if not path.is_file():
            raise WrongTemplate(
                f"names {name}, which is no file" if path.exists() else f"names {name}, which is not there"
            )
        with path.open("rb") as file:
            data = file.read(_LARGEST_FILE + 1)
        if len(data) > _LARGEST_FILE:
            raise WrongTemplate(f"names {name}, which is too large for a prompt")
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise WrongTemplate(f"names {name}, which is not UTF-8 text") from None
    except OSError as error:
        raise WrongTemplate(f"names {name}, which cannot be read: {error.strerror}") from None
    # A checkout with other line ends is the same prompt.
    return text.replace("\r\n", "\n").replace("\r", "\n")

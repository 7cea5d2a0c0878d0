"""Templates: text with ``{name}`` in it. Prompts take variables, paths take fields as well."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from .diagnostics import suggestion

#: A literal and None, or "" and the name between braces.
Piece = tuple[str, str | None]

_TOKEN = re.compile(r"(\{\{|\}\}|\{[^{}]*\}|[{}])")
#: Bytes. No model accepts a prompt of nearly this size.
_MAX_PROMPT_FILE = 1024 * 1024


class WrongTemplate(ValueError):
    """``args`` are the reasons, each to be appended to "it"."""


def parse_template(text: str) -> list[Piece]:
    """Split a text into pieces. ``{{`` and ``}}`` are braces. Raises WrongTemplate for a single brace."""
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


def braced(name: str) -> str:
    """Return a name in braces, shortened for a message."""
    return f"{{{name[:40]}}}"


def expand_variables(text: str, variables: Mapping[str, str]) -> str:
    """Replace the variables of a prompt. Braces in their values are text. Raises WrongTemplate."""
    if "{" not in text and "}" not in text:
        return text
    found = parse_template(text)
    try:
        return "".join([literal if name is None else variables[name] for literal, name in found])
    except KeyError:
        unknown = dict.fromkeys(name for _, name in found if name is not None and name not in variables)
        raise WrongTemplate(*(_unknown_variable(name, variables) for name in unknown)) from None


def _unknown_variable(name: str, variables: Mapping[str, str]) -> str:
    if not name.replace("-", "_").isidentifier():
        return f"has {braced(name)}, which is no variable: write {{{{ and }}}} for braces"
    return f"has {braced(name)}, and no variable is called so{suggestion(name, tuple(variables))}"


def read_prompt_file(folder: Path, name: str) -> str:
    """Return the text of a prompt file. Raises WrongTemplate with the reason."""
    path = folder / name
    try:
        if not path.is_file():
            raise WrongTemplate(
                f"names {name}, which is no file" if path.exists() else f"names {name}, which is not there"
            )
        with path.open("rb") as file:
            data = file.read(_MAX_PROMPT_FILE + 1)
        if len(data) > _MAX_PROMPT_FILE:
            raise WrongTemplate(f"names {name}, which is too large for a prompt")
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise WrongTemplate(f"names {name}, which is not UTF-8 text") from None
    except OSError as error:
        raise WrongTemplate(f"names {name}, which cannot be read: {error.strerror}") from None
    # A checkout with other line ends has the same prompt.
    return text.replace("\r\n", "\n").replace("\r", "\n")

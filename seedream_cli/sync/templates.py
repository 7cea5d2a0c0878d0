"""Text with ``{name}`` in it: the variables of prompts and paths, and the files that hold prompts.

The fields of paths, such as ``{ext}``, are in :mod:`.path_template`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from .diagnostics import suggestion

Piece = tuple[str, str | None]
"""A literal and None, or "" and the name between braces."""

_TOKEN = re.compile(r"(\{\{|\}\}|\{[^{}]*\}|[{}])")
#: Bytes. No model accepts a prompt of nearly this size.
_MAX_PROMPT_FILE = 1024 * 1024


class WrongTemplate(ValueError):
    """A prompt or path that cannot be used.

    ``args`` are the reasons. Each completes a sentence whose subject is the key: "has a lone {: ...".
    """


def parse_template(text: str) -> list[Piece]:
    """Split a text into pieces. ``{{`` and ``}}`` are braces. Raises WrongTemplate for a single brace."""
    pieces: list[Piece] = []
    # split() returns literals at even positions and tokens at odd ones.
    parts = _TOKEN.split(text)
    for literal, token in zip(parts[::2], [*parts[1::2], ""], strict=True):
        if literal:
            pieces.append((literal, None))
        if token in ("{", "}"):
            raise WrongTemplate(f"has a lone {token}: write {token * 2} for a brace")
        if token in ("{{", "}}"):
            pieces.append((token[0], None))
        elif token:
            pieces.append(("", token[1:-1]))
    return pieces


def braced(name: str) -> str:
    """Return a name in braces, shortened for a message."""
    return f"{{{name[:40]}}}"


def expand_variables(text: str, variables: Mapping[str, str]) -> str:
    """Replace the variables of a prompt. Braces in their values are text. Raises WrongTemplate."""
    if "{" not in text and "}" not in text:
        return text
    pieces = parse_template(text)
    reasons = []
    for name in dict.fromkeys(name for _, name in pieces if name is not None and name not in variables):
        if name.replace("-", "_").isidentifier():
            hint = suggestion(name, tuple(variables))
            reasons.append(f"has {braced(name)}, and no variable is called so{hint}")
        else:
            reasons.append(f"has {braced(name)}, which is no variable: write {{{{ and }}}} for braces")
    if reasons:
        raise WrongTemplate(*reasons)
    return "".join([literal if name is None else variables[name] for literal, name in pieces])


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
    # git may check out a file with other line endings, and the request must be the same.
    return text.replace("\r\n", "\n").replace("\r", "\n")

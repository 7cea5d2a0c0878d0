"""Formatting of values for people, and cleaning of text from outside.

Prompts, server messages and file names are data: nothing in them may act on a terminal or a CI log.
"""

from __future__ import annotations

import os
import re
from functools import lru_cache

#: Characters of a server's error message that are shown.
MAX_DETAIL_LENGTH = 500

#: Shorter secrets are not redacted: ordinary text may contain them by chance.
_MIN_SECRET_LENGTH = 8

#: C0 and C1 controls, line and paragraph separators, and bidirectional controls, which reorder text.
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]+")

#: Commands that CI services read from a log: GitHub's `::name::` at the beginning of a line, its older
#: `##[name]` and Azure's `##vso[name]` anywhere in it.
_WORKFLOW_COMMANDS = re.compile(r"^(\s*):(?=:)|#(?=#\w*\[)")


def clean(text: str) -> str:
    """Return the text on one line, without terminal controls and CI workflow commands.

    Lone surrogates become "?", so that the result can always be encoded as UTF-8.
    """
    text = _WORKFLOW_COMMANDS.sub(lambda match: f"{match[0]} ", _CONTROLS.sub(" ", text))
    return text.encode("utf-8", "replace").decode("utf-8")


def truncate(text: str, length: int) -> str:
    """Return at most ``length`` characters of the text, with an ellipsis if something was cut."""
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"


def short_path(path: str, cwd: str) -> str:
    """Return a path for display: relative if it is below ``cwd``, with `~` if it is below the home folder."""
    home = os.path.expanduser("~")
    for folder, short in ((cwd, ""), (home, f"~{os.sep}")):
        if path.startswith(folder.rstrip(os.sep) + os.sep):
            return short + path[len(folder.rstrip(os.sep)) + 1 :]
    return path


def format_duration(seconds: float) -> str:
    """Return a duration such as "12.3 s" or "2 min 05 s"."""
    if round(seconds, 1) < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s"


def format_age(seconds: float) -> str:
    """Return an age in its largest unit, such as "3 min ago"."""
    for unit, length in (("day", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            count = int(seconds // length)
            return f"{count} {unit}{'s' if unit == 'day' and count > 1 else ''} ago"
    return f"{max(int(seconds), 0)} s ago"


def format_size(count: int) -> str:
    """Return a number of bytes in decimal units, such as "1.2 MB"."""
    if count < 1000:
        return f"{count} B"
    amount = count / 1000
    for unit in ("kB", "MB"):
        if round(amount, 1) < 1000:
            return f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} GB"


def redact(text: str, secret: str | None) -> str:
    """Replace the secret by ``***``, also in its URL-encoded and its JSON-escaped form."""
    if secret is None or len(secret) < _MIN_SECRET_LENGTH:
        return text
    for form in _forms_of(secret):
        text = text.replace(form, "***")
    return text


@lru_cache(maxsize=4)
def _forms_of(secret: str) -> tuple[str, ...]:
    # Imported here: most commands never handle a key, and start faster without these modules.
    import json
    from urllib.parse import quote

    return tuple(dict.fromkeys((secret, quote(secret, safe=""), json.dumps(secret)[1:-1])))

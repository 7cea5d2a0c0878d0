"""Text from outside, made harmless: prompts, server messages and file names are shown as text."""

from __future__ import annotations

import os
import re

#: A server's own words are cut here.
LONGEST_DETAIL = 500

#: Shorter secrets are not redacted: ordinary text may contain them by chance.
_SHORTEST_SECRET = 8

#: C0 and C1 controls, and characters that reorder what stands around them (bidirectional controls).
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]+")


#: What a CI service would obey in a log: GitHub's `::name::` at a line's beginning, `##[…]` and Azure's
#: `##vso[…]` anywhere.
_WORKFLOW_COMMANDS = re.compile(r"^(\s*):(?=:)|#(?=#\w*\[)")


def clean(text: str) -> str:
    """The text on one line, with nothing in it that a terminal or a CI service's log would obey."""
    text = _WORKFLOW_COMMANDS.sub(lambda found: f"{found[0]} ", _CONTROLS.sub(" ", text))
    return text.encode("utf-8", "replace").decode("utf-8")


def shortened(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"


def short_path(path: str, cwd: str) -> str:
    """A path as a person reads it: relative where it is below ``cwd``, from the home's `~` in it."""
    home = os.path.expanduser("~")
    for folder, short in ((cwd, ""), (home, f"~{os.sep}")):
        if path.startswith(folder.rstrip(os.sep) + os.sep):
            return short + path[len(folder.rstrip(os.sep)) + 1 :]
    return path


def duration(seconds: float) -> str:
    if round(seconds, 1) < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s"


def ago(seconds: float) -> str:
    """How long ago something was, in one unit."""
    for unit, length in (("day", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            count = int(seconds // length)
            return f"{count} {unit}{'s' if unit == 'day' and count > 1 else ''} ago"
    return f"{max(int(seconds), 0)} s ago"


def size(count: int) -> str:
    """A number of bytes as a person reads it."""
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
    if secret is None or len(secret) < _SHORTEST_SECRET:
        return text
    for form in _forms(secret):
        text = text.replace(form, "***")
    return text


def _forms(secret: str) -> tuple[str, ...]:
    # Imported here: most commands never handle a key, and start without these modules.
    import json
    from urllib.parse import quote

    return tuple(dict.fromkeys((secret, quote(secret, safe=""), json.dumps(secret)[1:-1])))

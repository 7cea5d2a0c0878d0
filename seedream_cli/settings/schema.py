"""The table of settings: their names, what they mean, and how their values are read and checked."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from typing import Any
from urllib.parse import urlsplit

from msgspec import Struct

from ..errors import UsageError
from ..files.output_path import DEFAULT_TEMPLATE, parse_output
from ..request_fields import REQUEST_FIELDS, RequestField, parse_text
from ..urls import is_loopback
from .locations import DEFAULT_BASE_URL

_HOST_AND_PORT = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^\[\]:]+)(:[0-9]+)?")

DEFAULT_PROFILE = "default"

#: Seconds: longer waits are beyond what a system's timers take, and beyond any task.
LONGEST = 30 * 86400.0


def _one_of(choices: Mapping[str, str]) -> Callable[[str], str]:
    def parse(value: str) -> str:
        if value not in choices:
            raise ValueError(f"{value!r} is not one of {', '.join(choices)}")
        return value

    return parse


def _number(value: str) -> float:
    """Parse a number. Return NaN for anything else, so that every range check fails."""
    try:
        return float(value)
    except ValueError:
        return math.nan


def _positive(value: str) -> float:
    if not 0 < _number(value) <= LONGEST:
        raise ValueError(f"{value!r} is not a number of seconds above 0, at most {LONGEST:.0f} (30 days)")
    return _number(value)


def _seconds(value: str) -> float:
    if not 0 <= _number(value) <= LONGEST:
        raise ValueError(f"{value!r} is not a number of seconds from 0 to {LONGEST:.0f} (30 days)")
    return _number(value)


def _whole(value: str) -> int:
    if not value.isascii() or not value.isdecimal() or int(value) == 0:
        raise ValueError(f"{value!r} is not a whole number of bytes above 0")
    return int(value)


def parse_api_key(value: str) -> str:
    """Accept printable ASCII without blanks. The message of the ValueError never contains the key."""
    if not value or not all("\x21" <= char <= "\x7e" for char in value):
        raise ValueError("a key is printable ASCII without blanks")
    return value


def looks_like_api_key(file: str) -> bool:
    """Return True if the name of an API key file may be the key itself, because there is no such file."""
    return len(file) >= 8 and os.path.basename(file) == file and not os.path.exists(file)


def _key_file(value: str) -> str:
    """Refuse to store a key in place of the name of its file."""
    if looks_like_api_key(value):
        raise ValueError("there is no such file; a key itself is stored by: seedream config set api_key")
    return parse_text(value)


def parse_base_url(value: str) -> str:
    """Return the base URL without a trailing slash. It must be https, or http to this machine."""
    if not value.isprintable() or any(char in value for char in " \\"):
        # urlsplit drops some of these and httpx escapes others, and both must see the same host.
        raise ValueError("it has blanks, backslashes or control characters")
    try:
        parts = urlsplit(value)
        port_is_valid = parts.port is None or parts.port > 0
    except ValueError:
        raise ValueError("it is not a URL") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or not port_is_valid:
        raise ValueError("it is not a URL that begins with https://")
    if "@" in parts.netloc or any(char in value for char in "?#"):
        raise ValueError("it has a user name, a query or a fragment")
    if not _HOST_AND_PORT.fullmatch(parts.netloc):
        # For example [::1]example.com, where urlsplit sees only the address.
        raise ValueError("its host is not a name or an address")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise ValueError("plain http would show the key to anyone on the way: use https")
    return value.rstrip("/")


def _output(value: str) -> str:
    parse_output(value, cwd=os.getcwd())
    return value


class Setting(Struct, frozen=True):
    """One setting. ``parse`` raises ValueError with a reason that never contains a secret."""

    name: str
    what: str
    parse: Callable[[str], Any]
    default: str | None = None
    secret: bool = False
    in_project: bool = True
    #: Environment variables. The first one that is set and not empty wins.
    variables: tuple[str, ...] = ()
    #: A stricter check for `config set`. The values of options are checked against the model instead.
    check: Callable[[str], Any] | None = None


def _key(
    name: str, what: str, parse: Callable[[str], Any], default: str | None = None, **more: Any
) -> Setting:
    more.setdefault("variables", (f"SEEDREAM_{name.upper()}",))
    return Setting(name, what, parse, default, **more)


def _setting_of(field: RequestField) -> Setting:
    check = _one_of(field.choices) if field.accepted_by else None
    return _key(field.name, field.description, field.parse, field.default, check=check)


#: A setting has the same name everywhere: `--aspect-ratio`, `SEEDREAM_ASPECT_RATIO`, `aspect_ratio`.
SETTINGS: Mapping[str, Setting] = {
    key.name: key
    for key in (
        _key(
            "api_key",
            "the API key",
            parse_api_key,
            secret=True,
            in_project=False,
            variables=("SEEDREAM_API_KEY", "APIPOD_API_KEY"),
        ),
        _key("api_key_file", "a file that holds the API key", parse_text, in_project=False, check=_key_file),
        _key("base_url", "where the API is", parse_base_url, DEFAULT_BASE_URL, in_project=False),
        *(_setting_of(field) for field in REQUEST_FIELDS.values() if field.changes_image),
        _key("output", "file, folder or template of the images", _output, DEFAULT_TEMPLATE),
        _key("timeout", "seconds to wait for a task", _seconds, "120"),
        _key("poll_interval", "seconds between polls, at the least", _positive, "2"),
        _key("max_bytes", "the largest image that is saved", _whole, str(200 * 1024 * 1024)),
        *(_setting_of(field) for field in REQUEST_FIELDS.values() if not field.changes_image),
    )
}

#: The profile in use. It is set outside the profiles, and a project cannot choose it.
PROFILE = _key("profile", "the profile in use", parse_text, DEFAULT_PROFILE, in_project=False)
#: Everything that `config` shows and changes.
ALL_SETTINGS: Mapping[str, Setting] = {PROFILE.name: PROFILE, **SETTINGS}


def known(name: str) -> Setting:
    """Return the setting of this name; `-` and `_` are equal. Raises UsageError with a suggestion."""
    # Repeat only what could be the name of a setting: anything else may be a key.
    word, glued, _ = name.partition("=")
    could_be_one = re.fullmatch(r"[A-Za-z_-]{1,32}", word)
    if glued:
        raise UsageError(
            f"{f'{word}=…' if could_be_one else 'that'} is one word: a setting and its value are two",
            code="unknown_setting",
            hint="seedream config set --help",
        )
    if name.startswith(("style.", "styles.")):
        raise UsageError(
            "styles are written into [styles] of the config with an editor; config list shows them",
            code="unknown_setting",
            hint='"$EDITOR" "$(seedream config path)"',
        )
    key = ALL_SETTINGS.get(name.replace("-", "_"))
    if key is None:
        raise UsageError(
            f"no setting is called {repr(name) if could_be_one else 'so'}{did_you_mean(name, ALL_SETTINGS)}",
            code="unknown_setting",
            hint="seedream config list",
        )
    return key


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    close = get_close_matches(word, choices, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""

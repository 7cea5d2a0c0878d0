"""The table of settings: each is defined once, with its name, its meaning and the check of its value."""

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

#: 30 days in seconds. System timers overflow at longer waits, and no task takes as long.
_MAX_SECONDS = 30 * 86400.0


def _parse_choice(choices: Mapping[str, str]) -> Callable[[str], str]:
    def parse(value: str) -> str:
        if value not in choices:
            raise ValueError(f"{value!r} is not one of {', '.join(choices)}")
        return value

    return parse


def _parse_float(value: str) -> float:
    """Parse a number. Return NaN for anything else, so that every range check fails."""
    try:
        return float(value)
    except ValueError:
        return math.nan


def _parse_positive_seconds(value: str) -> float:
    seconds = _parse_float(value)
    if not 0 < seconds <= _MAX_SECONDS:
        limit = f"{_MAX_SECONDS:.0f} (30 days)"
        raise ValueError(f"{value!r} is not a number of seconds above 0, at most {limit}")
    return seconds


def _parse_seconds(value: str) -> float:
    seconds = _parse_float(value)
    if not 0 <= seconds <= _MAX_SECONDS:
        raise ValueError(f"{value!r} is not a number of seconds from 0 to {_MAX_SECONDS:.0f} (30 days)")
    return seconds


def _parse_bytes(value: str) -> int:
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


def _check_key_file(value: str) -> str:
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


def _parse_output(value: str) -> str:
    parse_output(value, cwd=os.getcwd())
    return value


class Setting(Struct, frozen=True):
    """A setting, from which its options, environment variables, schemas, man pages and help are derived.

    ``description`` completes the sentence "It is …". ``parse`` raises ValueError with a reason that never
    contains a secret. Without ``in_project``, a project file cannot change the setting.
    """

    name: str
    description: str
    parse: Callable[[str], Any]
    default: str | None = None
    secret: bool = False
    in_project: bool = True
    #: Environment variables. The first one that is set and not empty wins.
    variables: tuple[str, ...] = ()
    #: A stricter check for `config set`. The values of options are checked against the model instead.
    check: Callable[[str], Any] | None = None


def _setting(
    name: str, description: str, parse: Callable[[str], Any], default: str | None = None, **more: Any
) -> Setting:
    """Return a setting. Its environment variable is named after it unless ``variables`` are given."""
    more.setdefault("variables", (f"SEEDREAM_{name.upper()}",))
    return Setting(name, description, parse, default, **more)


def _setting_of_field(field: RequestField) -> Setting:
    check = _parse_choice(field.choices) if field.accepted_by else None
    return _setting(field.name, field.description, field.parse, field.default, check=check)


#: A setting has the same name everywhere: `--aspect-ratio`, `SEEDREAM_ASPECT_RATIO`, `aspect_ratio`.
SETTINGS: Mapping[str, Setting] = {
    setting.name: setting
    for setting in (
        _setting(
            "api_key",
            "the API key",
            parse_api_key,
            secret=True,
            in_project=False,
            variables=("SEEDREAM_API_KEY", "APIPOD_API_KEY"),
        ),
        _setting(
            "api_key_file",
            "a file that holds the API key",
            parse_text,
            in_project=False,
            check=_check_key_file,
        ),
        _setting("base_url", "where the API is", parse_base_url, DEFAULT_BASE_URL, in_project=False),
        *(_setting_of_field(field) for field in REQUEST_FIELDS.values() if field.changes_image),
        _setting("output", "file, folder or template of the images", _parse_output, DEFAULT_TEMPLATE),
        _setting("timeout", "seconds to wait for a task", _parse_seconds, "120"),
        _setting("poll_interval", "seconds between polls, at the least", _parse_positive_seconds, "2"),
        _setting("max_bytes", "the largest image that is saved", _parse_bytes, str(200 * 1024 * 1024)),
        *(_setting_of_field(field) for field in REQUEST_FIELDS.values() if not field.changes_image),
    )
}

#: The profile in use. It is set outside the profiles, and a project cannot choose it.
PROFILE = _setting("profile", "the profile in use", parse_text, DEFAULT_PROFILE, in_project=False)
#: Everything that `config` shows and changes.
ALL_SETTINGS: Mapping[str, Setting] = {PROFILE.name: PROFILE, **SETTINGS}


def setting_named(name: str) -> Setting:
    """Return the setting of this name; `-` and `_` are equal. Raises UsageError with a suggestion."""
    # Repeat only what could be the name of a setting: anything else may be a key.
    word, equals_sign, _ = name.partition("=")
    is_plain_name = re.fullmatch(r"[A-Za-z_-]{1,32}", word)
    if equals_sign:
        raise UsageError(
            f"{f'{word}=…' if is_plain_name else 'that'} is one word: a setting and its value are two",
            code="unknown_setting",
            hint="seedream config set --help",
        )
    if name.startswith(("style.", "styles.")):
        raise UsageError(
            "styles are written into [styles] of the config with an editor; config list shows them",
            code="unknown_setting",
            hint='"$EDITOR" "$(seedream config path)"',
        )
    setting = ALL_SETTINGS.get(name.replace("-", "_"))
    if setting is None:
        raise UsageError(
            f"no setting is called {repr(name) if is_plain_name else 'so'}{did_you_mean(name, ALL_SETTINGS)}",
            code="unknown_setting",
            hint="seedream config list",
        )
    return setting


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """Return a suggestion to append to an error message, "" if nothing is similar."""
    close = get_close_matches(word, choices, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""

"""Read config files. Errors name the file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..errors import UsageError
from .schema import DEFAULT_PROFILE, SETTINGS, did_you_mean

#: The marker of an API key that is in the desktop's keyring: `api_key = {in = "keyring"}`.
IN_KEYRING: Mapping[str, str] = {"in": "keyring"}
#: Keys at the top of the config file.
_TOP_LEVEL_KEYS = ("profile", "profiles", "styles")


def read_toml(path: Path) -> dict[str, Any]:
    """Return the tables of a TOML file, {} if there is no file. Raises UsageError with file and line."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        # Imported here: without a file, nothing needs it.
        import tomllib

        return tomllib.loads(text)
    except FileNotFoundError:
        return {}
    except (ValueError, RecursionError) as error:
        # Includes invalid UTF-8, numbers with too many digits for Python, and values nested too deeply.
        raise UsageError(f"{path} is not valid TOML: {error}", code="invalid_setting") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", code="invalid_setting") from None


def read_config(path: Path) -> dict[str, Any]:
    """Read the config file, and check its top-level keys and profiles. Raises UsageError."""
    config = read_toml(path)
    for name in config:
        if name in SETTINGS:
            raise UsageError(
                f"{path}: {name} stands outside of a profile: it belongs below [profiles.{DEFAULT_PROFILE}]",
                code="unknown_setting",
            )
        if name not in _TOP_LEVEL_KEYS:
            raise UsageError(
                f"{path}: nothing is called {name!r}{did_you_mean(name, _TOP_LEVEL_KEYS)}",
                code="unknown_setting",
            )
    profiles = config.get("profiles", {})
    if not isinstance(profiles, dict) or not all(isinstance(table, dict) for table in profiles.values()):
        raise UsageError(
            f"{path}: profiles are tables, such as [profiles.{DEFAULT_PROFILE}]", code="invalid_setting"
        )
    return config


def settings_as_text(table: Mapping[str, Any], origin: str) -> Mapping[str, str]:
    """Return the values of a table as text, as environment variables would hold them. Raises UsageError.

    An API key that is in the keyring is left out.
    """
    texts = {}
    for name, value in table.items():
        if name not in SETTINGS:
            raise UsageError(
                f"{origin}: no setting is called {name!r}{did_you_mean(name, SETTINGS)}",
                code="unknown_setting",
            )
        if name == "api_key" and isinstance(value, dict):
            if value == IN_KEYRING:
                continue
            raise UsageError(
                f'{origin}: api_key is neither text nor {{in = "keyring"}}', code="invalid_setting"
            )
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise UsageError(f"{origin}: {name} is neither text nor a number", code="invalid_setting")
        try:
            texts[name] = str(value)
        except ValueError:
            # Python reads more hexadecimal digits than it converts to decimal.
            raise UsageError(f"{origin}: {name} is too large a number", code="invalid_setting") from None
    return texts


def unknown_profile(path: Path, name: str, profiles: Iterable[str]) -> UsageError:
    """Return the error for a profile that the config file does not have."""
    return UsageError(
        f"no profile {name!r} in {path}{did_you_mean(name, profiles)}",
        code="unknown_profile",
        hint=f"seedream config list --profile {DEFAULT_PROFILE}",
    )

"""The files that settings stand in, as they are on disk: what is wrong with one is told with its name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..errors import UsageError
from .schema import DEFAULT_PROFILE, SETTINGS, did_you_mean

#: Stands for an API key that is in the desktop's keyring: `api_key = {in = "keyring"}`.
IN_KEYRING: Mapping[str, str] = {"in": "keyring"}
#: What may stand at the top of the user's config.
_OUTLINE = ("profile", "profiles", "styles")


def read_toml(path: Path) -> dict[str, Any]:
    """The file's tables; empty where there is no file. Raises UsageProblem that names file and line."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        # Only whoever has such a file waits for its reader.
        import tomllib

        return tomllib.loads(text)
    except FileNotFoundError:
        return {}
    except (ValueError, RecursionError) as error:
        # Also what is not UTF-8, numbers of more digits than Python reads, and values nested too deep.
        raise UsageError(f"{path} is not valid TOML: {error}", code="invalid_setting") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", code="invalid_setting") from None


def read_config(path: Path) -> dict[str, Any]:
    """The user's config, of which the outline is checked. Raises UsageProblem."""
    config = read_toml(path)
    for name in config:
        if name in SETTINGS:
            raise UsageError(
                f"{path}: {name} stands outside of a profile: it belongs below [profiles.{DEFAULT_PROFILE}]",
                code="unknown_setting",
            )
        if name not in _OUTLINE:
            raise UsageError(
                f"{path}: nothing is called {name!r}{did_you_mean(name, _OUTLINE)}", code="unknown_setting"
            )
    profiles = config.get("profiles", {})
    if not isinstance(profiles, dict) or not all(isinstance(one, dict) for one in profiles.values()):
        raise UsageError(
            f"{path}: profiles are tables, such as [profiles.{DEFAULT_PROFILE}]", code="invalid_setting"
        )
    return config


def checked(table: Mapping[str, Any], origin: str) -> Mapping[str, str]:
    """The table's values as text, as they would stand in the environment. Raises UsageProblem.

    A key that is in the keyring has none.
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
            # In hexadecimal, Python reads more digits than it writes.
            raise UsageError(f"{origin}: {name} is too large a number", code="invalid_setting") from None
    return texts


def unknown_profile(path: Path, name: str, profiles: Iterable[str]) -> UsageError:
    """The refusal of a profile that the config does not have."""
    return UsageError(
        f"no profile {name!r} in {path}{did_you_mean(name, profiles)}",
        code="unknown_profile",
        hint=f"seedream config list --profile {DEFAULT_PROFILE}",
    )

"""Where a profile's API key is kept: in the config, or in the desktop's keyring, and never in both."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from . import config_store, desktop_keyring
from .config_files import IN_KEYRING, read_config
from .errors import KeyringProblem


def keep_in_config(path: Path, profile: str, key: str) -> KeyringProblem | None:
    """Store the key in the config. The keyring's goes; what stood in the way of that is returned.

    A keyring that cannot be used is a reason to come here, and no reason to fail.
    """
    was_in_keyring = _is_in_keyring(path, profile)
    config_store.set_value(path, profile, "api_key", key)
    if was_in_keyring:
        try:
            desktop_keyring.remove(profile)
        except KeyringProblem as problem:
            return problem
    return None


def keep_in_keyring(path: Path, profile: str, key: str) -> None:
    """Store the key in the keyring, and only a mark of that in the config. Raises KeyringProblem."""
    was_in_keyring = _is_in_keyring(path, profile)
    desktop_keyring.store(profile, key)
    if was_in_keyring:
        return
    try:
        config_store.set_value(path, profile, "api_key", IN_KEYRING)
    except BaseException:
        # A key that no config tells of would stay there for ever.
        with suppress(KeyringProblem):
            desktop_keyring.remove(profile)
        raise


def forget(path: Path, profile: str) -> bool:
    """Remove the key from where it is kept; False if there was none. Raises KeyringProblem."""
    if _is_in_keyring(path, profile):
        try:
            desktop_keyring.remove(profile)
        except KeyringProblem as problem:
            # To keep the key elsewhere is no way out for who wants to be rid of it.
            hint = problem.hint if problem.code == "keyring_missing" else None
            message = f"the API key is not removed: {problem.message}"
            raise KeyringProblem(message, code=problem.code, hint=hint) from None
    return config_store.unset_value(path, profile, "api_key")


def _is_in_keyring(path: Path, profile: str) -> bool:
    table = read_config(path).get("profiles", {}).get(profile, {})
    return bool(table.get("api_key") == IN_KEYRING)

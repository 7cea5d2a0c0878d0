"""API keys in the desktop's keyring: Keychain, Credential Locker, Secret Service or KWallet.

Asking may open a window in which the person unlocks it, and finding it costs half a second: this is for
those alone whose config says that a key is there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from ..errors import KeyringError, SeedreamError
from ..install_hints import install_command

if TYPE_CHECKING:
    from keyring.backend import KeyringBackend

#: What the keyring's own program shows beside the name of the profile.
SERVICE = "apipod-seedream"

_ELSEWHERE = "keep the key in the config, which nobody else can read (mode 0600), or set SEEDREAM_API_KEY"
_INTO_THE_CONFIG = "seedream config set api_key"
#: What the library recommends. Below are backends that keep nothing, or that keep it as plain text.
_RECOMMENDED = 1

T = TypeVar("T")


def require() -> None:
    """Raises KeyringProblem where there is no keyring; whether it is locked turns out when it is used."""
    _backend()


def read(profile: str) -> str | None:
    """The profile's key; None where there is none. Raises KeyringProblem."""
    backend = _backend()
    return _asked(lambda: backend.get_password(SERVICE, profile))


def store(profile: str, key: str) -> None:
    """Put the profile's key in place of the one that was there. Raises KeyringProblem."""
    backend = _backend()
    _asked(lambda: backend.set_password(SERVICE, profile, key), secret=key)


def remove(profile: str) -> None:
    """Take the profile's key out; there may be none. Raises KeyringProblem."""
    backend = _backend()
    if _asked(lambda: backend.get_password(SERVICE, profile)) is not None:
        _asked(lambda: backend.delete_password(SERVICE, profile))


def _backend() -> KeyringBackend:
    try:
        import logging

        import keyring
    except ImportError:
        raise KeyringError(
            "the desktop's keyring needs a library that is not installed",
            code="keyring_missing",
            hint=install_command("keyring"),
        ) from None
    # What the library has to say of its own config would stand on stderr as it is.
    logging.getLogger("keyring").addHandler(logging.NullHandler())
    # Also what the person chose in that config, which may name what is not there.
    usable = _asked(lambda: _recommended(keyring.get_keyring()))
    if usable is None:
        raise KeyringError("no desktop's keyring can be used here", detail=_ELSEWHERE, hint=_INTO_THE_CONFIG)
    return usable


def _recommended(found: KeyringBackend) -> KeyringBackend | None:
    # The library's chain of all backends would go on to one that keeps plain text.
    each = getattr(found, "backends", [found])
    return next((one for one in each if one.priority >= _RECOMMENDED), None)


def _asked(ask: Callable[[], T], secret: str | None = None) -> T:
    try:
        return ask()
    except SeedreamError:
        # A signal, such as Ctrl-C while the keyring waits to be unlocked.
        raise
    except Exception as error:
        # Backends are programs of others, and raise whatever their libraries do.
        raise _told(error, secret) from None


def _told(error: Exception, secret: str | None) -> KeyringError:
    from keyring.errors import KeyringLocked

    if isinstance(error, KeyringLocked):
        return KeyringError(
            "the desktop's keyring is locked, and was not unlocked",
            code="keyring_locked",
            detail=f"unlock it and try again, or {_ELSEWHERE}",
            hint=_INTO_THE_CONFIG,
        )
    from ..text import redact

    words = redact(f"{type(error).__name__}: {error}", secret)
    return KeyringError(
        f"the desktop's keyring failed: {words[:200]}", detail=_ELSEWHERE, hint=_INTO_THE_CONFIG
    )

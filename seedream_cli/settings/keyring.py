"""API keys in the desktop's keyring: Keychain, Credential Locker, Secret Service or KWallet.

Access may open a window that asks for a password, and finding the keyring takes half a second. So it is
used only if the config file says that a key is there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from ..errors import KeyringError, SeedreamError
from ..install_hints import install_command

if TYPE_CHECKING:
    from keyring.backend import KeyringBackend

#: The service name under which the keyring's own program lists our entries.
SERVICE = "apipod-seedream"

_OTHER_PLACES = "keep the key in the config, which nobody else can read (mode 0600), or set SEEDREAM_API_KEY"
_STORE_IN_CONFIG = "seedream config set api_key"
#: The lowest priority that the library recommends. Lower ones store nothing, or store plain text.
_RECOMMENDED_PRIORITY = 1

T = TypeVar("T")


def require() -> None:
    """Raise KeyringError if there is no keyring. A locked one is noticed only when it is used."""
    _backend()


def read(profile: str) -> str | None:
    """Return the key of a profile, or None. Raises KeyringError."""
    backend = _backend()
    return _call_backend(lambda: backend.get_password(SERVICE, profile))


def store(profile: str, key: str) -> None:
    """Store the key of a profile, replacing an earlier one. Raises KeyringError."""
    backend = _backend()
    _call_backend(lambda: backend.set_password(SERVICE, profile, key), secret=key)


def remove(profile: str) -> None:
    """Remove the key of a profile, if there is one. Raises KeyringError."""
    backend = _backend()
    if _call_backend(lambda: backend.get_password(SERVICE, profile)) is not None:
        _call_backend(lambda: backend.delete_password(SERVICE, profile))


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
    # Otherwise the library logs problems with its own config to stderr.
    logging.getLogger("keyring").addHandler(logging.NullHandler())
    # The backend chosen in that config may not exist, so this call can fail as well.
    usable = _call_backend(lambda: _recommended_backend(keyring.get_keyring()))
    if usable is None:
        raise KeyringError(
            "no desktop's keyring can be used here", detail=_OTHER_PLACES, hint=_STORE_IN_CONFIG
        )
    return usable


def _recommended_backend(found: KeyringBackend) -> KeyringBackend | None:
    # The library's chaining backend would fall back to one that stores plain text.
    candidates = getattr(found, "backends", [found])
    return next((backend for backend in candidates if backend.priority >= _RECOMMENDED_PRIORITY), None)


def _call_backend(call: Callable[[], T], secret: str | None = None) -> T:
    """Call a backend. Raises KeyringError with a message that does not contain ``secret``."""
    try:
        return call()
    except SeedreamError:
        # Stopped: Ctrl-C while the keyring waits to be unlocked.
        raise
    except Exception as error:
        # Backends are third-party code and may raise anything.
        from keyring.errors import KeyringLocked

        if isinstance(error, KeyringLocked):
            raise KeyringError(
                "the desktop's keyring is locked, and was not unlocked",
                code="keyring_locked",
                detail=f"unlock it and try again, or {_OTHER_PLACES}",
                hint=_STORE_IN_CONFIG,
            ) from None
        from ..text import redact

        reason = redact(f"{type(error).__name__}: {error}", secret)
        raise KeyringError(
            f"the desktop's keyring failed: {reason[:200]}", detail=_OTHER_PLACES, hint=_STORE_IN_CONFIG
        ) from None

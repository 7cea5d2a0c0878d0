"""Which keyrings are secure enough for a key, and the errors of those that fail."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

import keyring
import pytest
from keyring.errors import KeyringLocked, PasswordSetError
from support.keyrings import Backend

from seedream_cli.errors import KeyringError, Stopped
from seedream_cli.settings import keyring as desktop_keyring

KEY = "sk-hunter22-0123456789"
Use = Callable[[Any], None]


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Use:
    """Return a function that makes a backend the one that the library finds."""
    return lambda backend: monkeypatch.setattr(keyring, "get_keyring", lambda: backend)


class Chain:
    """Like the library's chaining backend, whose priority is above that of its members."""

    priority = 10

    def __init__(self, *backends: Any) -> None:
        self.backends = list(backends)


def library_backend(name: str) -> Any:
    """Return a backend that comes with the library."""
    return import_module(f"keyring.backends.{name}").Keyring()


def test_keyring_stores_key_of_each_profile(use: Use) -> None:
    backend = Backend()
    use(backend)
    desktop_keyring.require()
    desktop_keyring.store("default", KEY)
    desktop_keyring.store("work", "sk-work")
    assert backend.kept == {("apipod-seedream", "default"): KEY, ("apipod-seedream", "work"): "sk-work"}
    assert desktop_keyring.read("default") == KEY
    desktop_keyring.remove("default")
    desktop_keyring.remove("default")
    assert desktop_keyring.read("default") is None
    assert desktop_keyring.read("work") == "sk-work"


@pytest.mark.parametrize(
    "backend",
    [
        pytest.param(library_backend("fail"), id="none"),
        pytest.param(library_backend("null"), id="stores nothing"),
        pytest.param(Backend(priority=0.5), id="stores plain text"),
        pytest.param(Chain(), id="empty chain"),
        pytest.param(Chain(Backend(priority=0.5), Backend(priority=0)), id="chain of insecure backends"),
    ],
)
def test_keyring_refuses_insecure_backend(use: Use, backend: Any) -> None:
    use(backend)
    calls: tuple[Callable[[], object], ...] = (
        desktop_keyring.require,
        lambda: desktop_keyring.store("default", KEY),
        lambda: desktop_keyring.read("default"),
        lambda: desktop_keyring.remove("default"),
    )
    for call in calls:
        with pytest.raises(KeyringError, match="no desktop's keyring can be used here") as refused:
            call()
        assert refused.value.hint == "seedream config set api_key"
        assert "mode 0600" in str(refused.value.detail)
        assert "SEEDREAM_API_KEY" in str(refused.value.detail)


def test_keyring_uses_secure_backend_of_chain(use: Use) -> None:
    assert isinstance(import_module("keyring.backends.chainer").ChainerBackend.backends, list)
    plain, good = Backend(priority=0.5), Backend()
    use(Chain(plain, good))
    desktop_keyring.store("default", KEY)
    assert (plain.kept, good.kept) == ({}, {("apipod-seedream", "default"): KEY})


def test_keyring_locked_error_and_signal_while_waiting(use: Use) -> None:
    use(Backend(error=KeyringLocked("Failed to unlock the collection!")))
    with pytest.raises(KeyringError, match="is locked, and was not unlocked") as refused:
        desktop_keyring.read("default")
    assert refused.value.code == "keyring_locked"
    use(Backend(error=Stopped()))
    with pytest.raises(Stopped):
        desktop_keyring.read("default")


@pytest.mark.parametrize("error", [PasswordSetError, OSError, ValueError])
def test_keyring_error_does_not_contain_key(use: Use, error: type[Exception]) -> None:
    use(Backend(error=error(f"-25244\nfor {KEY}")))
    with pytest.raises(KeyringError, match=f"{error.__name__}: -25244") as refused:
        desktop_keyring.store("default", KEY)
    assert KEY not in f"{refused.value!r} {refused.value.detail}"
    # A traceback would show the original error.
    assert (refused.value.__cause__, refused.value.__suppress_context__) == (None, True)


def test_keyring_without_backend(use: Use, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise ModuleNotFoundError("No module named 'keyrings'")

    monkeypatch.setattr(keyring, "get_keyring", broken)
    with pytest.raises(KeyringError, match="failed: ModuleNotFoundError: No module named 'keyrings'"):
        desktop_keyring.require()


def test_keyring_without_library_shows_install_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(KeyringError, match="a library that is not installed") as refused:
        desktop_keyring.require()
    assert refused.value.hint == "pip install 'apipod-seedream[keyring]'"

"""Keyrings for tests: gnome-keyring on a private session bus, and one in memory."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from .needs import missing, program

if TYPE_CHECKING:
    from secretstorage import Collection

#: Script that unlocks the keyring with a password, so that it is encrypted on disk. It ends with its stdin.
_SESSION = """
printf 'a password' | "$1" --unlock --components=secrets >/dev/null 2>&1
printf '%s\\n' "$DBUS_SESSION_BUS_ADDRESS"
cat
"""
_ADDRESS = "DBUS_SESSION_BUS_ADDRESS"


class SecretService:
    """A running Secret Service. ``environment`` has the variables with which a program finds it."""

    def __init__(self, address: str, unlock: Callable[[], None]) -> None:
        self.environment = {_ADDRESS: address}
        self._unlock = unlock

    @property
    def kept(self) -> dict[tuple[str, str], str]:
        """Return all secrets by service and user."""
        with self._collection() as collection:
            found = [(item.get_attributes(), item.get_secret()) for item in collection.get_all_items()]
        return {(names["service"], names["username"]): secret.decode() for names, secret in found}

    def put(self, profile: str, key: str) -> None:
        """Store a key as the keyring library does."""
        names = {"service": "apipod-seedream", "username": profile, "application": "Python keyring library"}
        with self._collection() as collection:
            collection.create_item("seedream", names, key.encode(), replace=True)

    def clear(self) -> None:
        """Delete all secrets."""
        with self._collection() as collection:
            for item in collection.get_all_items():
                item.delete()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the keyring in the block. Access fails, as no desktop can ask for the password."""
        with self._collection() as collection:
            collection.lock()
        try:
            yield
        finally:
            self._unlock()

    @contextmanager
    def _collection(self) -> Iterator[Collection]:
        import secretstorage

        before = os.environ.get(_ADDRESS)
        os.environ.update(self.environment)
        try:
            with closing(secretstorage.dbus_init()) as connection:
                yield secretstorage.get_default_collection(connection)
        finally:
            del os.environ[_ADDRESS]
            if before is not None:
                os.environ[_ADDRESS] = before


@contextmanager
def secret_service() -> Iterator[SecretService]:
    """Start a Secret Service, unlocked and empty."""
    daemon, session = program("gnome-keyring-daemon"), program("dbus-run-session")
    # Paths of Unix sockets are limited to about 100 bytes.
    home = tempfile.mkdtemp(prefix="keyring-")
    environment = {"PATH": os.environ["PATH"], "HOME": home, "XDG_RUNTIME_DIR": home, "XDG_DATA_HOME": home}
    process = subprocess.Popen(
        [session, "--", "sh", "-c", _SESSION, "sh", daemon],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
    )
    try:
        assert process.stdout is not None
        address = process.stdout.readline().decode().strip()
        if not address:
            missing("a session bus")

        def unlock() -> None:
            # The command asks the running daemon to unlock it.
            subprocess.run(
                [daemon, "--unlock"],
                input=b"a password",
                env={**environment, _ADDRESS: address},
                check=True,
                capture_output=True,
                timeout=20,
            )

        yield SecretService(address, unlock)
    finally:
        process.communicate(timeout=20)
        shutil.rmtree(home, ignore_errors=True)


class Backend:
    """Backend of the keyring library in memory. Every access raises ``error`` if it is set."""

    def __init__(self, *, priority: float = 5, error: Exception | None = None) -> None:
        self.priority = priority
        self.error = error
        self.kept: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, user: str) -> str | None:
        self._fail()
        return self.kept.get((service, user))

    def set_password(self, service: str, user: str, secret: str) -> None:
        self._fail()
        self.kept[service, user] = secret

    def delete_password(self, service: str, user: str) -> None:
        self._fail()
        del self.kept[service, user]

    def _fail(self) -> None:
        if self.error is not None:
            raise self.error

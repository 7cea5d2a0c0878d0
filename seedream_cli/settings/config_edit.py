"""Edit the config file: atomically, readable by its owner only, everything else in it kept to the byte.

An API key is either in the file or in the desktop's keyring, never in both.
"""

from __future__ import annotations

import codecs
import os
import secrets
import shlex
import stat
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import KeyringError, UsageError
from ..files.permissions import make_private_dir, open_private
from . import keyring
from .config_file import IN_KEYRING, read_config, unknown_profile
from .schema import DEFAULT_PROFILE, PROFILE

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from tomlkit import TOMLDocument

#: The value of a setting in the config file. A table says where the API key is instead.
TomlValue = str | int | float | Mapping[str, str]


def set_value(path: Path, profile: str, name: str, value: TomlValue) -> None:
    """Set one setting in the table of a profile, or `profile` at the top of the file. Raises UsageError."""
    if name == PROFILE.name:
        profiles = read_config(path).get("profiles", {})
        if value not in profiles and value != DEFAULT_PROFILE:
            raise unknown_profile(path, str(value), profiles)

    def change(document: TOMLDocument) -> bool:
        import tomlkit

        table: Any = document if name == PROFILE.name else _get_or_add_profile(document, profile)
        if isinstance(value, Mapping):
            # Inline, because settings that follow a normal table would belong to it.
            table[name] = tomlkit.inline_table()
            table[name].update(value)
        else:
            table[name] = value
        return True

    _rewrite(path, change)


def unset_value(path: Path, profile: str, name: str) -> bool:
    """Remove one setting from the table of a profile, or from the top. Return False if it was not set."""

    def change(document: TOMLDocument) -> bool:
        profile_table: Any = document.get("profiles", {}).get(profile, {})
        table: Any = document if name == PROFILE.name else profile_table
        if name not in table:
            return False
        del table[name]
        return True

    return _rewrite(path, change)


def _get_or_add_profile(document: TOMLDocument, profile: str) -> Any:
    # tomlkit keeps comments and order. Its import takes 45 ms, so only edits import it.
    import tomlkit
    from tomlkit.items import InlineTable

    if "profiles" not in document:
        document["profiles"] = tomlkit.table(is_super_table=True)
    profiles: Any = document["profiles"]
    if profile not in profiles:
        inline = isinstance(profiles, InlineTable)
        profiles[profile] = tomlkit.inline_table() if inline else tomlkit.table()
    return profiles[profile]


def _rewrite(path: Path, change: Callable[[TOMLDocument], bool]) -> bool:
    """Apply ``change`` to the document. Write the file, and return True, if ``change`` returns True."""
    from tomlkit.exceptions import TOMLKitError

    # A symbolic link, such as into a folder of dotfiles, stays a link.
    target = Path(os.path.realpath(path))
    try:
        while True:
            # Raise the usual error, and leave the file alone, if the program could not read it.
            read_config(path)
            signature = _stat_signature(target)
            data = _apply_change(target.read_bytes() if signature is not None else b"", change)
            if data is None:
                return False
            if target.exists() and not target.stat().st_mode & stat.S_IWUSR:
                # Replacing it would succeed, but somebody did not want that.
                hint = f"chmod u+w {shlex.quote(str(path))}" if os.name == "posix" else None
                raise UsageError(f"{path} is read-only", code="config_unwritable", hint=hint)
            if _replace_if_unchanged(target, data, signature):
                return True
            # Another program wrote the file meanwhile: apply the change to the new version.
    except (TOMLKitError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise UsageError(
            f"{path} has a form that only its author can change: {error}", code="config_unwritable"
        ) from None
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}", code="config_unwritable") from None
    except UnicodeEncodeError:
        raise UsageError("what is to be stored is not valid Unicode text", code="invalid_setting") from None


def _apply_change(data: bytes, change: Callable[[TOMLDocument], bool]) -> bytes | None:
    """Return the file with the change, otherwise equal byte by byte. Return None if nothing changed."""
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    text = data.decode("utf-8-sig")
    # Keep CRLF line ends.
    has_crlf = 0 < text.count("\n") == text.count("\r\n")
    document = tomlkit.parse(text.replace("\r\n", "\n") if has_crlf else text)
    if not change(document):
        return None
    written = tomlkit.dumps(document)
    # Among dotted keys, tomlkit inserts some tables where they capture the keys that follow.
    if tomllib.loads(written) != document.unwrap():
        raise TOMLKitError("something else would be changed with it")
    byte_order_mark = codecs.BOM_UTF8 if data.startswith(codecs.BOM_UTF8) else b""
    return byte_order_mark + (written.replace("\n", "\r\n") if has_crlf else written).encode("utf-8")


#: Inode, modification time and size: they change with the file.
_StatSignature = tuple[int, int, int]


def _stat_signature(target: Path) -> _StatSignature | None:
    try:
        status = target.stat()
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size


def _replace_if_unchanged(target: Path, data: bytes, signature: _StatSignature | None) -> bool:
    """Replace the file atomically. Return False, and write nothing, if it changed since ``signature``."""
    make_private_dir(target.parent)
    part = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    try:
        # O_EXCL follows no symbolic link that someone put at the name.
        descriptor = open_private(part, os.O_WRONLY | os.O_EXCL)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        with _lock_folder(target.parent):
            is_same = _stat_signature(target) == signature
            if is_same:
                os.replace(part, target)
        return is_same
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def _lock_folder(folder: Path) -> Iterator[None]:
    """Keep other runs of seedream from replacing the file between our check and our write."""
    if fcntl is None:
        # Windows: the check alone has to do.
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        # Some network file systems have no locks.
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def store_key_in_config(path: Path, profile: str, key: str) -> KeyringError | None:
    """Store the key in the config file, and remove it from the keyring.

    Return the error if the keyring cannot be used: that is a reason to move the key, not a failure.
    """
    was_in_keyring = _is_in_keyring(path, profile)
    set_value(path, profile, "api_key", key)
    if was_in_keyring:
        try:
            keyring.remove(profile)
        except KeyringError as problem:
            return problem
    return None


def store_key_in_keyring(path: Path, profile: str, key: str) -> None:
    """Store the key in the keyring, and a marker in the config file. Raises KeyringError."""
    was_in_keyring = _is_in_keyring(path, profile)
    keyring.store(profile, key)
    if was_in_keyring:
        return
    try:
        set_value(path, profile, "api_key", IN_KEYRING)
    except BaseException:
        # Otherwise the key would stay in the keyring without any config file that refers to it.
        with suppress(KeyringError):
            keyring.remove(profile)
        raise


def remove_key(path: Path, profile: str) -> bool:
    """Remove the key from the config file or the keyring. Return False if there was none.

    Raises KeyringError.
    """
    if _is_in_keyring(path, profile):
        try:
            keyring.remove(profile)
        except KeyringError as problem:
            # The usual hint, to store the key elsewhere, does not help someone who wants to remove it.
            hint = problem.hint if problem.code == "keyring_missing" else None
            message = f"the API key is not removed: {problem.message}"
            raise KeyringError(message, code=problem.code, hint=hint) from None
    return unset_value(path, profile, "api_key")


def _is_in_keyring(path: Path, profile: str) -> bool:
    table = read_config(path).get("profiles", {}).get(profile, {})
    return bool(table.get("api_key") == IN_KEYRING)

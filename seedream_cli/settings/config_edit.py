"""Writing the user's config: whole or not at all, for its owner alone, all else in it kept to the byte."""

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

#: What a setting can be in the config; the table tells where a key is instead.
Value = str | int | float | Mapping[str, str]


def set_value(path: Path, profile: str, name: str, value: Value) -> None:
    """Put one setting into a profile's table; `profile` itself stands at the top. Raises UsageProblem."""
    if name == PROFILE.name:
        profiles = read_config(path).get("profiles", {})
        if value not in profiles and value != DEFAULT_PROFILE:
            raise unknown_profile(path, str(value), profiles)

    def change(document: TOMLDocument) -> bool:
        table: Any = document if name == PROFILE.name else _profile(document, profile)
        table[name] = _on_one_line(value) if isinstance(value, Mapping) else value
        return True

    _rewrite(path, change)


def unset_value(path: Path, profile: str, name: str) -> bool:
    """Take one setting out of a profile's table, or from the top; False if it was not there."""

    def change(document: TOMLDocument) -> bool:
        of_profile: Any = document.get("profiles", {}).get(profile, {})
        table: Any = document if name == PROFILE.name else of_profile
        if name not in table:
            return False
        del table[name]
        return True

    return _rewrite(path, change)


def _on_one_line(table: Mapping[str, str]) -> Any:
    """A setting that is a table stands among the others, and none follows it into its own."""
    import tomlkit

    inline = tomlkit.inline_table()
    inline.update(table)
    return inline


def _profile(document: TOMLDocument, profile: str) -> Any:
    # tomlkit keeps comments and order; it costs 45 ms to import, which only writing pays.
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
    """Let ``change`` have its way with the document; written only if it says that it did."""
    from tomlkit.exceptions import TOMLKitError

    # A config that is a link into a folder of dotfiles stays one.
    target = Path(os.path.realpath(path))
    try:
        while True:
            # What the program could not read is refused in its own words, and left as it is.
            read_config(path)
            signs = _signs(target)
            text = _changed(target.read_bytes() if signs is not None else b"", change)
            if text is None:
                return False
            _refuse_read_only(target, path)
            if _write_whole(target, text, instead_of=signs):
                return True
            # Another program was faster: the change is made in what that one wrote.
    except (TOMLKitError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise UsageError(
            f"{path} has a form that only its author can change: {error}", code="config_unwritable"
        ) from None
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}", code="config_unwritable") from None
    except UnicodeEncodeError:
        raise UsageError("what is to be stored is not valid Unicode text", code="invalid_setting") from None


def _changed(data: bytes, change: Callable[[TOMLDocument], bool]) -> bytes | None:
    """The file with the change, in all else the same to the byte; None where there was nothing to change."""
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    text = data.decode("utf-8-sig")
    # New lines are to end as the others do.
    dos = 0 < text.count("\n") == text.count("\r\n")
    document = tomlkit.parse(text.replace("\r\n", "\n") if dos else text)
    if not change(document):
        return None
    written = tomlkit.dumps(document)
    # Among dotted keys, tomlkit puts some tables where they take what follows into themselves.
    if tomllib.loads(written) != document.unwrap():
        raise TOMLKitError("something else would be changed with it")
    mark = codecs.BOM_UTF8 if data.startswith(codecs.BOM_UTF8) else b""
    return mark + (written.replace("\n", "\r\n") if dos else written).encode("utf-8")


def _refuse_read_only(target: Path, path: Path) -> None:
    """Putting another file in its place would succeed: someone did not want that."""
    if target.exists() and not target.stat().st_mode & stat.S_IWUSR:
        hint = f"chmod u+w {shlex.quote(str(path))}" if os.name == "posix" else None
        raise UsageError(f"{path} is read-only", code="config_unwritable", hint=hint)


#: What tells one state of a file from the next.
_Signs = tuple[int, int, int]


def _signs(target: Path) -> _Signs | None:
    try:
        status = target.stat()
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size


def _write_whole(target: Path, data: bytes, *, instead_of: _Signs | None) -> bool:
    """False where the file is not what it was any more: then nothing is written."""
    make_private_dir(target.parent)
    part = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    try:
        # O_EXCL follows no symbolic link that someone put at the name.
        descriptor = open_private(part, os.O_WRONLY | os.O_EXCL)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        with _alone(target.parent):
            is_same = _signs(target) == instead_of
            if is_same:
                os.replace(part, target)
        return is_same
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """No other program of this kind is between its look at the file and its writing."""
    if fcntl is None:
        # Windows: the look alone has to do.
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
    """Store the key in the config. The keyring's goes; what stood in the way of that is returned.

    A keyring that cannot be used is a reason to come here, and no reason to fail.
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
    """Store the key in the keyring, and only a mark of that in the config. Raises KeyringProblem."""
    was_in_keyring = _is_in_keyring(path, profile)
    keyring.store(profile, key)
    if was_in_keyring:
        return
    try:
        set_value(path, profile, "api_key", IN_KEYRING)
    except BaseException:
        # A key that no config tells of would stay there for ever.
        with suppress(KeyringError):
            keyring.remove(profile)
        raise


def forget(path: Path, profile: str) -> bool:
    """Remove the key from where it is kept; False if there was none. Raises KeyringProblem."""
    if _is_in_keyring(path, profile):
        try:
            keyring.remove(profile)
        except KeyringError as problem:
            # To keep the key elsewhere is no way out for who wants to be rid of it.
            hint = problem.hint if problem.code == "keyring_missing" else None
            message = f"the API key is not removed: {problem.message}"
            raise KeyringError(message, code=problem.code, hint=hint) from None
    return unset_value(path, profile, "api_key")


def _is_in_keyring(path: Path, profile: str) -> bool:
    table = read_config(path).get("profiles", {}).get(profile, {})
    return bool(table.get("api_key") == IN_KEYRING)

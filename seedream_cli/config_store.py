"""Writing the user's config: whole or not at all, for its owner alone, comments kept."""

from __future__ import annotations

import os
import secrets
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .config_files import read_config
from .errors import UsageProblem
from .private import make_folder, open_file

if TYPE_CHECKING:
    from tomlkit import TOMLDocument


def set_value(path: Path, profile: str, name: str, value: str | int | float) -> None:
    """Put one setting into a profile's table."""

    def change(document: TOMLDocument) -> bool:
        _profile(document, profile)[name] = value
        return True

    _rewrite(path, change)


def unset_value(path: Path, profile: str, name: str) -> bool:
    """Take one setting out of a profile's table; False if it was not there."""

    def change(document: TOMLDocument) -> bool:
        table = document.get("profiles", {}).get(profile, {})
        if name not in table:
            return False
        del table[name]
        return True

    return _rewrite(path, change)


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
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    # What the program could not read is refused in its own words, and left as it is.
    read_config(path)

    # A config that is a link into a folder of dotfiles stays one.
    target = Path(os.path.realpath(path))
    try:
        text = target.read_text(encoding="utf-8-sig") if target.exists() else ""
        document = tomlkit.parse(text)
        changed = change(document)
        if changed:
            written = tomlkit.dumps(document)
            # Among dotted keys, tomlkit puts some tables where they take what follows into themselves.
            if tomllib.loads(written) != document.unwrap():
                raise TOMLKitError("something else would be changed with it")
            _write_whole(target, written.encode("utf-8"))
    except (TOMLKitError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise UsageProblem(
            f"{path} has a form that only its author can change: {error}", code="config_unwritable"
        ) from None
    except OSError as error:
        raise UsageProblem(f"{path} cannot be written: {error.strerror}", code="config_unwritable") from None
    except UnicodeEncodeError:
        raise UsageProblem("what is to be stored is not valid Unicode text", code="invalid_setting") from None
    return changed


def _write_whole(target: Path, data: bytes) -> None:
    make_folder(target.parent)
    part = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    try:
        # O_EXCL follows no symbolic link that someone put at the name.
        descriptor = open_file(part, os.O_WRONLY | os.O_EXCL)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)

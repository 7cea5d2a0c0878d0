"""Writing the user's config: whole or not at all, for its owner alone, comments kept."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .config import read_config
from .errors import UsageProblem

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

    # What the program could not read is refused in its own words, and left as it is.
    read_config(path)

    # A config that is a link into a folder of dotfiles stays one.
    target = Path(os.path.realpath(path))
    try:
        text = target.read_text(encoding="utf-8-sig") if target.exists() else ""
        document = tomlkit.parse(text)
        changed = change(document)
        if changed:
            _write_whole(target, tomlkit.dumps(document).encode("utf-8"))
    except OSError as error:
        raise UsageProblem(f"{path} cannot be written: {error.strerror}", code="config_unwritable") from None
    except UnicodeEncodeError:
        raise UsageProblem("what is to be stored is not valid Unicode text", code="invalid_setting") from None
    return changed


def _write_whole(target: Path, data: bytes) -> None:
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    try:
        # Created for its owner alone: a chmod afterwards would leave a moment in which others can read it.
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)

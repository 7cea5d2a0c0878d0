"""Writing the user's config: whole or not at all, for its owner alone, comments kept."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import UsageProblem

if TYPE_CHECKING:
    from tomlkit import TOMLDocument


def set_value(path: Path, profile: str, name: str, value: str | int | float) -> None:
    """Put one setting into a profile's table."""

    def change(document: TOMLDocument) -> None:
        _profile(document, profile)[name] = value

    _rewrite(path, change)


def unset_value(path: Path, profile: str, name: str) -> bool:
    """Take one setting out of a profile's table; False if it was not there."""
    removed = False

    def change(document: TOMLDocument) -> None:
        nonlocal removed
        table = document.get("profiles", {}).get(profile, {})
        removed = name in table
        if removed:
            del table[name]

    if path.exists():
        _rewrite(path, change)
    return removed


def _profile(document: TOMLDocument, profile: str) -> Any:
    # tomlkit keeps comments and order; it costs 45 ms to import, which only writing pays.
    import tomlkit

    if "profiles" not in document:
        document["profiles"] = tomlkit.table(is_super_table=True)
    profiles: Any = document["profiles"]
    if profile not in profiles:
        profiles[profile] = tomlkit.table()
    return profiles[profile]


def _rewrite(path: Path, change: Callable[[TOMLDocument], None]) -> None:
    import tomlkit

    # A config that is a link into a folder of dotfiles stays one.
    target = Path(os.path.realpath(path))
    try:
        text = target.read_text(encoding="utf-8") if target.exists() else ""
        document = tomlkit.parse(text)
        change(document)
        _write_whole(target, tomlkit.dumps(document))
    except OSError as error:
        raise UsageProblem(f"{path} cannot be written: {error.strerror}", code="config_unwritable") from None


def _write_whole(target: Path, text: str) -> None:
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    try:
        # Created for its owner alone: a chmod afterwards would leave a moment in which others can read it.
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)

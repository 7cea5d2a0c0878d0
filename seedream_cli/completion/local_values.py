"""Candidates from local files: task ids, profiles, styles and assets.

Every import delays every Tab, so the usual case loads nothing but sqlite3 or tomllib.
"""

from __future__ import annotations

import os

from ..settings import locations
from ..settings.locations import DEFAULT_BASE_URL, SANDBOX_SERVICE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from .command_line import CommandLine

    Candidate = tuple[str, str]

_MANIFEST = "seedream.toml"
#: Number of tasks to offer, the newest ones: nobody reads a longer list.
_MAX_TASKS = 50
#: Characters of a description, so that it fits beside the word on a narrow terminal.
_MAX_DESCRIPTION = 48
#: Seconds to wait for another process that writes to the history.
_BUSY_TIMEOUT = 0.3
#: Translation that deletes the punctuation allowed in ids.
_ID_PUNCTUATION = {ord(char): None for char in "-._"}

_QUERY = """
SELECT coalesce(task_id, id), status, {prompt} FROM operations
WHERE service = ? AND (settled = 0 OR ?) ORDER BY created DESC, rowid DESC LIMIT ?
"""
_PROMPT = "CASE WHEN json_valid(request) THEN json_extract(request, '$.prompt') END"


def candidates(kind: str, line: CommandLine) -> Iterator[Candidate]:
    """Yield the values of a kind, each with its description."""
    for word, description in KINDS[kind](line):
        text = " ".join(description[: 4 * _MAX_DESCRIPTION].split())
        # Prompts are outside text: a control character must not reach the terminal.
        if not text.isprintable():
            text = " ".join("".join(char if char.isprintable() else " " for char in text).split())
        if len(text) > _MAX_DESCRIPTION:
            text = text[: _MAX_DESCRIPTION - 1].rstrip() + "…"
        yield word, text


def _resumable(line: CommandLine) -> Iterator[Candidate]:
    """Yield "last" and the newest unfinished operations, or nothing if there are none."""
    for number, candidate in enumerate(_operations(line, settled=False)):
        if number == 0:
            yield "last", "the newest of these"
        yield candidate


def _operations(line: CommandLine, *, settled: bool = True) -> Iterator[Candidate]:
    """Yield the newest operations that are not on the line yet. Without ``settled``, only unfinished ones."""
    import sqlite3

    path = locations.history_path()
    db = sqlite3.connect(_database_uri(path), uri=True, timeout=_BUSY_TIMEOUT)
    try:
        values = (_service(line), settled, _MAX_TASKS)
        try:
            rows = db.execute(_QUERY.format(prompt=_PROMPT), values).fetchall()
        except sqlite3.OperationalError:
            # SQLite was built without its JSON functions.
            rows = db.execute(_QUERY.format(prompt="NULL"), values).fetchall()
    finally:
        db.close()
    for name, status, prompt in rows:
        if _is_plain(name) and name not in line.words:
            yield name, f"{status}: {prompt}" if prompt else str(status)


def _service(line: CommandLine) -> str:
    """Return the service that the line selects, as the history names it."""
    if "--sandbox" in line.words:
        return SANDBOX_SERVICE
    base_url = line.value("--base-url")
    if not (
        base_url or os.environ.get("SEEDREAM_BASE_URL") or "base_url" in _read_text(locations.config_path())
    ):
        return DEFAULT_BASE_URL
    # Loading the settings takes longer than everything else here, so do it only if the URL may be changed.
    from ..settings import resolve

    settings = resolve.load(profile=line.value("--profile"), flags={"base_url": base_url})
    return resolve.service_of(settings.value("base_url"))


def _is_plain(name: object) -> bool:
    """Return True if a shell can insert the id without quotes. Ids come from the service, so any text can."""
    if not isinstance(name, str) or not name.isascii() or name.startswith("-"):
        return False
    return name.translate(_ID_PUNCTUATION).isalnum()


def _database_uri(path: str) -> str:
    """Return a SQLite URI that opens an existing database and does not create one.

    Not mode=ro: a read-only connection cannot remove the -wal and -shm files when it is closed.
    """
    if os.name == "nt":
        path = "/" + path.replace("\\", "/")
    for char in "%?#":
        path = path.replace(char, f"%{ord(char):02x}")
    return f"file:{path}?mode=rw"


def _profiles(line: CommandLine) -> Iterator[Candidate]:
    config = _read_toml(locations.config_path())
    in_use = config.get("profile", "default")
    for name, table in config.get("profiles", {}).items():
        if _is_word(name):
            yield name, "in use" if name == in_use else ", ".join(sorted(table))


def _styles(line: CommandLine) -> Iterator[Candidate]:
    named = _read_toml(locations.config_path()).get("styles", {}) | _read_toml(_MANIFEST).get("styles", {})
    for name, text in named.items():
        if _is_word(name):
            yield name, str(text)


def _assets(line: CommandLine) -> Iterator[Candidate]:
    manifest = line.arguments[0] if line.arguments else _MANIFEST
    if os.path.isdir(manifest):
        manifest = os.path.join(manifest, _MANIFEST)
    for name, table in _read_toml(manifest).get("assets", {}).items():
        if _is_word(name) and name not in line.words:
            yield name, str(table.get("prompt", ""))


def _is_word(name: str) -> bool:
    """Return True if the name fits on one line and is not an option. The shell quotes special characters."""
    return bool(name) and name.isprintable() and not name.startswith("-")


def _read_toml(path: str) -> dict[str, Any]:
    import tomllib

    return tomllib.loads(_read_text(path))


def _read_text(path: str) -> str:
    # Reading a pipe or a terminal would block the shell.
    if not os.path.isfile(path):
        return ""
    with open(path, encoding="utf-8") as file:
        return file.read().removeprefix("\ufeff")


KINDS = {
    "tasks": _operations,
    "resumable": _resumable,
    "profiles": _profiles,
    "styles": _styles,
    "assets": _assets,
}

"""What a shell asks for while a line is being typed: task ids, profiles, styles, from this machine's files.

``seedream completion --list KIND [WORD…]`` prints one candidate a line, a tab, and what it is. The words
are those of the line so far: they tell which service and profile are meant, and what need not be
offered again. Everything imported here is paid for at every Tab, so that the plain case makes do with
sqlite3 or tomllib; and a shell has no place for an error, so that none is told.
"""

from __future__ import annotations

import os
import sys

from . import folders
from .services import DEFAULT_BASE_URL, SANDBOX_SERVICE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import Any

    Candidate = tuple[str, str]

#: The newest tasks are those that are meant; a longer list is none that a person reads.
_MOST = 50
#: Seconds for which another program's writing is waited for, while someone holds Tab.
_PATIENCE = 0.3
_LONGEST = 48
#: What ids have besides letters and digits.
_MARKS = {ord(char): None for char in "-._"}

_QUERY = """
SELECT coalesce(task_id, id), status, {prompt} FROM operations
WHERE service = ? AND (settled = 0 OR ?) ORDER BY created DESC, rowid DESC LIMIT ?
"""
_PROMPT = "CASE WHEN json_valid(request) THEN json_extract(request, '$.prompt') END"


def answer(arguments: Sequence[str]) -> None:
    """Print the candidates of the kind that the first argument names, or nothing."""
    try:
        found = KINDS[arguments[0]](_Line(arguments[1:])) if arguments else ()
        lines = "".join(f"{name}\t{_shown(what)}\n" for name, what in found)
        sys.stdout.buffer.write(lines.encode("utf-8", "replace"))
        sys.stdout.buffer.flush()
    except (Exception, KeyboardInterrupt):
        # Whatever it was: the command that is being typed will meet it, and tell it.
        _leave_quietly()


def _leave_quietly() -> None:
    """Let Python's own flush at exit have no complaint."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    except OSError:
        return


class _Line:
    """The words of the line so far, as the shell has them: some still in quotes."""

    def __init__(self, words: Iterable[str]) -> None:
        self.words = [word.strip("'\"") for word in words]

    def value(self, option: str) -> str | None:
        """The value that an option was given last."""
        found, is_next = None, False
        for word in self.words:
            if is_next:
                found = word
            elif word.startswith(f"{option}="):
                found = word.partition("=")[2]
            is_next = word == option
        return found

    @property
    def service(self) -> str:
        """What the history calls the service that is meant."""
        if "--sandbox" in self.words:
            return SANDBOX_SERVICE
        base_url = self.value("--base-url")
        chosen = base_url or os.environ.get("SEEDREAM_BASE_URL") or "base_url" in _text(_config_path())
        if not chosen:
            return DEFAULT_BASE_URL
        # Settings proper cost more than all else here, which only those who changed this pay.
        from . import config

        settings = config.load(profile=self.value("--profile"), flags={"base_url": base_url})
        return config.service_of(settings.value("base_url"))


def _tasks(line: _Line) -> Iterator[Candidate]:
    return _operations(line, settled=True)


def _resumable(line: _Line) -> Iterator[Candidate]:
    for number, found in enumerate(_operations(line, settled=False)):
        if number == 0:
            yield "last", "the newest of these"
        yield found


def _operations(line: _Line, *, settled: bool) -> Iterator[Candidate]:
    import sqlite3

    path = os.path.join(folders.state_folder(), folders.HISTORY_FILE)
    db = sqlite3.connect(_existing(path), uri=True, timeout=_PATIENCE)
    try:
        values = (line.service, settled, _MOST)
        try:
            rows = db.execute(_QUERY.format(prompt=_PROMPT), values).fetchall()
        except sqlite3.OperationalError:
            # An SQLite that was built without JSON.
            rows = db.execute(_QUERY.format(prompt="NULL"), values).fetchall()
    finally:
        db.close()
    for name, status, prompt in rows:
        if _is_plain(name) and name not in line.words:
            yield name, f"{status}: {prompt}" if prompt else str(status)


def _is_plain(name: object) -> bool:
    """Whether a shell can put it on the line as it is: ids come from outside."""
    if not isinstance(name, str) or not name.isascii() or name.startswith("-"):
        return False
    return name.translate(_MARKS).isalnum()


def _existing(path: str) -> str:
    """The database as a URI that does not make it.

    Not read-only: such a reader would leave the files behind that SQLite puts beside it.
    """
    if os.name == "nt":
        path = "/" + path.replace("\\", "/")
    for char in "%?#":
        path = path.replace(char, f"%{ord(char):02x}")
    return f"file:{path}?mode=rw"


def _profiles(line: _Line) -> Iterator[Candidate]:
    config = _toml(_config_path())
    in_use = config.get("profile", "default")
    for name, table in config.get("profiles", {}).items():
        if _is_word(name):
            yield name, "in use" if name == in_use else ", ".join(sorted(table))


def _styles(line: _Line) -> Iterator[Candidate]:
    named = _toml(_config_path()).get("styles", {}) | _toml("seedream.toml").get("styles", {})
    for name, text in named.items():
        if _is_word(name):
            yield name, str(text)


def _is_word(name: str) -> bool:
    """Whether it fits one line of the answer; shells quote what else is in it."""
    return bool(name) and name.isprintable() and not name.startswith("-")


def _config_path() -> str:
    return os.path.join(folders.config_folder(), folders.CONFIG_FILE)


def _toml(path: str) -> dict[str, Any]:
    import tomllib

    return tomllib.loads(_text(path))


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read().removeprefix("\ufeff")
    except FileNotFoundError:
        return ""


def _shown(what: str) -> str:
    """The beginning of it, on one line, with nothing in it that a terminal would obey."""
    line = " ".join(what[: 4 * _LONGEST].split())
    if not line.isprintable():
        line = " ".join("".join(char if char.isprintable() else " " for char in line).split())
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1].rstrip() + "…"


KINDS = {"tasks": _tasks, "resumable": _resumable, "profiles": _profiles, "styles": _styles}

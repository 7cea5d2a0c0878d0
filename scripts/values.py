"""What the value of an option or an argument can be, from the program's own tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from seedream_cli.commands.completion import SCRIPTS
from seedream_cli.models import ASPECT_RATIOS, MODELS, QUALITIES, Status
from seedream_cli.sandbox.faults import FAULTS
from seedream_cli.settings import ALL_KEYS

Row = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Words:
    """One of these, each with what it is ("" where that goes without saying)."""

    name: str
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Asked:
    """What only this machine's files know: the program is asked for it."""

    name: str


@dataclass(frozen=True, slots=True)
class Files:
    name: str = "file"


@dataclass(frozen=True, slots=True)
class After:
    """It depends on the argument before it."""

    name: str
    kinds: tuple[tuple[str, Words | Asked | Files], ...]


Kind = Words | Asked | Files | After


def _states() -> tuple[Row, ...]:
    return tuple((word, "") for word in Status.ALL)


def _of_settings(kinds: Mapping[str, Kind]) -> After:
    """The value of `config set KEY VALUE`: what its setting's own flag takes."""
    rows = []
    for key in ALL_KEYS.values():
        kind = kinds.get(key.name)
        if isinstance(kind, Words | Asked | Files):
            rows.append((key.name, kind))
    return After("value", tuple(rows))


_SETTINGS: Mapping[str, Kind] = {
    "model": Words("model", tuple((row.name, row.what) for row in MODELS.values())),
    "aspect_ratio": Words("aspect_ratio", tuple(ASPECT_RATIOS.items())),
    "quality": Words("quality", tuple(QUALITIES.items())),
    "output": Files(),
    "api_key_file": Files(),
    "profile": Asked("profiles"),
}

#: By the name of the parameter in the program.
_BY_NAME: Mapping[str, Kind] = {
    **_SETTINGS,
    "key": Words("key", tuple((key.name, key.what) for key in ALL_KEYS.values())),
    "value": _of_settings(_SETTINGS),
    "shell": Words("shell", tuple((shell, "") for shell in SCRIPTS)),
    "dialect": Words("dialect", (("live", "the current reference"), ("seed", "the older one"))),
    "fault": Words("fault", tuple(FAULTS.items())),
    "state": Words("state", _states()),
    # What the program is asked for, by the names that it knows.
    "tasks": Asked("tasks"),
    "resume": Asked("resumable"),
    "style": Asked("styles"),
}


def kind_of(name: str, metavar: str) -> Kind | None:
    """What the value of this parameter can be; None where nothing is known of it."""
    if metavar in ("FILE", "PATH") or metavar.startswith("PATH|"):
        return Files()
    return _BY_NAME.get(name)

"""The kinds of values that options and arguments accept."""

from __future__ import annotations

from collections.abc import Mapping

from seedream_cli.commands.completion import SCRIPTS
from seedream_cli.models import TaskStatus
from seedream_cli.request_fields import REQUEST_FIELDS
from seedream_cli.sandbox.faults import FAULTS
from seedream_cli.settings.schema import ALL_SETTINGS

#: Kind of value → its values, each with a description, or "" if it needs none.
STATIC: Mapping[str, Mapping[str, str]] = {
    **{field.name: field.choices for field in REQUEST_FIELDS.values() if field.choices},
    "setting": {setting.name: setting.description for setting in ALL_SETTINGS.values()},
    "shell": dict.fromkeys(SCRIPTS, ""),
    "dialect": {"live": "the current reference", "seed": "the older one"},
    "fault": FAULTS,
    "state": dict.fromkeys(TaskStatus.ALL, ""),
}

#: Parameter → kind of value. `seedream_cli.completion` finds the values of kinds that are not static.
_BY_PARAMETER: Mapping[str, str] = {
    **{kind: kind for kind in STATIC},
    "key": "setting",
    "value": "value_of_setting",
    "command": "commands",
    "tasks": "tasks",
    "resume": "resumable",
    "style": "styles",
    "profile": "profiles",
    "only": "assets",
}


def kind_of(name: str, metavar: str) -> str:
    """Return the kind of a parameter's value, "" if nothing is known about it."""
    if metavar in ("FILE", "PATH") or metavar.startswith("PATH|"):
        return "files"
    return _BY_PARAMETER.get(name, "")

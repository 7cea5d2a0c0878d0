"""Options that several commands share, each defined once.

The decorator :func:`._command.command` adds the options of an Options class to a command.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer
from msgspec import Struct

from ..request_fields import REQUEST_FIELDS, RequestField
from ..settings.schema import PROFILE, SETTINGS

_CONVERSATION = "Conversation"
_SERVICE = "Service"


def setting_option(
    name: str, *declarations: str, metavar: str = "TEXT", panel: str | None = None, extra_help: str = ""
) -> Any:
    """Return the option of a setting, with the same name. Its help shows the variable and the default.

    ``extra_help`` is appended to the help, such as the other values.
    """
    setting = SETTINGS[name]
    facts = "env " + " or ".join(setting.variables)
    if setting.default is not None:
        facts += f"; default {setting.default}"
    if extra_help:
        facts += f"; {extra_help}"
    return typer.Option(
        f"--{name.replace('_', '-')}",
        *declarations,
        help=f"{setting.description[0].upper()}{setting.description[1:]} ({facts}).",
        metavar=metavar,
        show_default=False,
        rich_help_panel=panel,
    )


class Options(Struct, frozen=True):
    """Options of every command."""

    json: Annotated[
        bool,
        typer.Option("--json", help="Print one JSON document on stdout.", rich_help_panel=_CONVERSATION),
    ] = False
    quiet: Annotated[
        bool,
        typer.Option(
            "-q", "--quiet", help="Say nothing but the answer and errors.", rich_help_panel=_CONVERSATION
        ),
    ] = False
    verbose: Annotated[
        bool,
        typer.Option(
            "-v", "--verbose", help="Add requests, request ids and waits.", rich_help_panel=_CONVERSATION
        ),
    ] = False
    profile: Annotated[
        str | None,
        typer.Option(
            "--profile",
            help=f"The profile of the config to use (env {PROFILE.variables[0]}).",
            metavar="NAME",
            show_default=False,
            rich_help_panel=_SERVICE,
        ),
    ] = None


class ServiceOptions(Options, frozen=True):
    """Options of a command that calls the API."""

    base_url: Annotated[str | None, setting_option("base_url", metavar="URL", panel=_SERVICE)] = None
    api_key_file: Annotated[str | None, setting_option("api_key_file", metavar="FILE", panel=_SERVICE)] = None

    def flags(self) -> dict[str, str | None]:
        """Return the settings that these options set, by name."""
        return {"base_url": self.base_url, "api_key_file": self.api_key_file}


class TaskOptions(ServiceOptions, frozen=True):
    """Options of a command that creates, queries or downloads tasks."""

    sandbox: Annotated[
        bool,
        typer.Option(
            "--sandbox",
            help="Use the stand-in of the API on this machine: no key, no cost.",
            rich_help_panel=_SERVICE,
        ),
    ] = False


def _option_of_field(field: RequestField) -> Any:
    others = [value for value in field.choices if value != field.default]
    option = setting_option(
        field.name,
        *filter(None, [field.short_option]),
        metavar=field.metavar,
        panel="Picture",
        extra_help=f"or {', '.join(others)}" if others else "",
    )
    return Annotated[str | None, option]


class OptionGroup(Struct, frozen=True):
    """A group of options that a command receives as one parameter: a mapping from name to value."""

    options: Mapping[str, Any]


#: A parameter with an option for each request field. None: the option was not given.
RequestFieldOptions = Annotated[
    Mapping[str, str | None],
    OptionGroup({name: _option_of_field(field) for name, field in REQUEST_FIELDS.items()}),
]

Timeout = Annotated[
    str | None, setting_option("timeout", metavar="SECONDS", panel="Waiting", extra_help="300 for 4K")
]
PollInterval = Annotated[str | None, setting_option("poll_interval", metavar="SECONDS", panel="Waiting")]
MaxBytes = Annotated[str | None, setting_option("max_bytes", metavar="BYTES", panel="Output")]
OutputTemplate = Annotated[str | None, setting_option("output", "-o", metavar="PATH", panel="Output")]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace files that exist.", rich_help_panel="Output")
]
NoWait = Annotated[
    bool, typer.Option("--no-wait", help="Do not wait for the task's end.", rich_help_panel="Waiting")
]

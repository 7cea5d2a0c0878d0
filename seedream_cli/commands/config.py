"""`seedream config`: show and change the settings in the config file."""

from __future__ import annotations

import getpass
import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from msgspec import UNSET

from ..errors import Stopped, UsageError
from ..output.documents import (
    CheckDocument,
    ConfigCheck,
    ConfigGet,
    ConfigList,
    ConfigPath,
    ConfigSet,
    ConfigUnset,
    KeyOriginDocument,
    SettingDocument,
    StyleDocument,
)
from ..output.stdio import is_terminal
from ..settings import locations
from ..settings.schema import DEFAULT_PROFILE, PROFILE, SETTINGS, Setting, setting_named
from ..text import clean
from ._command import command
from ._context import CommandContext, read_stdin
from ._help_formatter import Command, Group
from ._options import Options, ServiceOptions

app = typer.Typer(
    name="config", cls=Group, add_completion=False, invoke_without_command=True, rich_markup_mode=None
)

Name = Annotated[str, typer.Argument(metavar="KEY", help="A setting, such as api_key or aspect_ratio.")]
InKeyring = Annotated[
    bool,
    typer.Option(
        "--keyring",
        help="Keep the API key in the desktop's keyring, not in the config.",
        rich_help_panel="Settings",
    ),
]
Value = Annotated[
    str | None,
    typer.Argument(
        metavar="[VALUE]",
        help="Its value; - reads it from stdin. A key is asked for, never taken from here.",
        show_default=False,
    ),
]


@app.callback()
def show_help(context: typer.Context) -> None:
    """Show and change settings: the API key, defaults, profiles.

    \b
    seedream config set api_key
    seedream config set aspect_ratio 16:9
    seedream config list
    seedream config check
    """
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.command("set", cls=Command)
@command(Options)
def set_(context: CommandContext, key: Name, value: Value = None, keyring: InKeyring = False) -> None:
    """Store a setting. The API key is asked for without echo, or read from stdin with -.

    \b
    seedream config set api_key
    seedream config set api_key - < key.txt
    seedream config set api_key --keyring
    seedream config set quality 4K --profile print
    """
    setting = setting_named(key)
    if keyring:
        from ..settings import keyring as desktop_keyring

        # Checked before the user types a key that could not be stored.
        if not setting.secret:
            raise UsageError(f"only api_key can be kept in the keyring, not {setting.name}")
        desktop_keyring.require()
    text = _read_secret(setting, value) if setting.secret else _read_value(setting, value)
    where = _store(context, setting, text, keyring=keyring)
    context.reporter.notice(f"{setting.name} is stored in {where}")
    for variable in filter(os.environ.get, setting.variables):
        context.reporter.notice(f"{variable} is set in the environment, and comes before it")
    path = locations.config_path()
    context.reporter.result([], ConfigSet(path, setting.name, keyring if setting.secret else UNSET))


@app.command(cls=Command)
@command(Options)
def get(context: CommandContext, key: Name) -> None:
    """Print a setting's value as it counts now; secrets are masked.

    \b
    seedream config get quality
    seedream config get output --profile print
    """
    setting = context.settings.get(setting_named(key).name)
    document = ConfigGet(setting.name, setting.display_value, setting.origin)
    context.reporter.result([] if setting.display_value is None else [clean(setting.display_value)], document)
    if setting.display_value is None:
        context.reporter.say(f"{setting.name} is not set")


@app.command(cls=Command)
@command(Options)
def unset(context: CommandContext, key: Name) -> None:
    """Remove a setting from the config, and the API key from the desktop's keyring.

    \b
    seedream config unset quality
    seedream config unset api_key --profile print
    """
    from ..settings import config_edit

    setting = setting_named(key)
    path, profile = Path(locations.config_path()), context.settings.profile
    if setting.secret:
        removed = config_edit.remove_key(path, profile)
    else:
        removed = config_edit.unset_value(path, profile, setting.name)
    what = f"{setting.name} is removed from" if removed else f"{setting.name} was not set in"
    context.reporter.notice(f"{what} {_location(setting, profile)}")
    context.reporter.result([], ConfigUnset(setting.name, removed))


@app.command("list", cls=Command)
@command(Options)
def list_(context: CommandContext) -> None:
    """Print every setting and style, its value and where it comes from; secrets are masked.

    \b
    seedream config list
    seedream config list --json
    """
    settings = list(context.settings.list())
    styles = list(context.settings.styles.values())
    rows = [(setting.name, setting.display_value or "-", setting.origin) for setting in settings]
    rows += [(f"styles.{style.name}", style.text, style.origin) for style in styles]
    width = max(len(key) for key, _, _ in rows)
    lines = [clean(f"{key:<{width}}  {value}  ({origin})") for key, value, origin in rows]
    document = ConfigList(
        [SettingDocument(setting.name, setting.display_value, setting.origin) for setting in settings],
        [StyleDocument(style.name, style.text, style.origin) for style in styles],
    )
    context.reporter.result(lines, document)


@app.command(cls=Command)
@command(Options)
def path(context: CommandContext) -> None:
    """Print where the config is.

    \b
    seedream config path
    "$EDITOR" "$(seedream config path)"
    """
    config_path = locations.config_path()
    context.reporter.result([config_path], ConfigPath(config_path))


@app.command(cls=Command)
@command(ServiceOptions)
def check(context: CommandContext) -> None:
    """Ask the service whether it takes the key; show where that is from, and what is said of the account.

    \b
    seedream config check
    seedream config check --profile print
    """
    client = context.client
    context.reporter.say(f"asking {context.reporter.service}")
    account = client.get_account()
    base_url = context.settings.value("base_url")
    setting, origin = context.settings.api_key_source or ("api_key", "default")
    lines = [f"{base_url} takes the key", clean(f"{setting} is from {origin}")]
    lines += [clean(f"{name}: {value}") for name, value in account.items()]
    document = CheckDocument(base_url, KeyOriginDocument(setting, origin), dict(account))
    context.reporter.result(lines, ConfigCheck(document))


def _read_secret(setting: Setting, value: str | None) -> str:
    """Read a secret from stdin if ``value`` is `-`, else from the terminal without echo."""
    if value is not None and value != "-":
        raise UsageError(
            f"{setting.name} is not taken from the command line: "
            "other programs and the shell's history could read it there",
            hint=f"seedream config set {setting.name}",
        )
    if value == "-":
        return _validated(setting, read_stdin().strip())
    if not is_terminal(sys.stdin):
        raise UsageError(
            f"{setting.name} is asked for only on a terminal",
            hint=f"seedream config set {setting.name} - < key.txt",
        )
    try:
        typed = getpass.getpass("API key (not shown): ", stream=sys.stderr)
    except EOFError:
        # Ctrl-D.
        raise UsageError(f"no {setting.name} was typed; nothing is changed") from None
    except Stopped:
        # End the line of the prompt, on which the error message would be printed otherwise.
        print(file=sys.stderr)
        raise
    return _validated(setting, typed.strip())


def _read_value(setting: Setting, value: str | None) -> str:
    """Return ``value``, or stdin if it is `-`."""
    if value is None:
        raise UsageError(f"no value for {setting.name} was given", hint="seedream config set --help")
    return _validated(setting, read_stdin().strip() if value == "-" else value)


def _validated(setting: Setting, text: str) -> str:
    """Return the text unchanged. Raise UsageError if it is not a valid value of the setting."""
    try:
        (setting.check or setting.parse)(text)
    except ValueError as error:
        raise UsageError(f"{setting.name}: {error}", code="invalid_setting") from None
    return text


def _store(context: CommandContext, setting: Setting, text: str, *, keyring: bool) -> str:
    """Store the value in the keyring or the config file, and return words for where that is."""
    from ..settings import config_edit

    path, profile = Path(locations.config_path()), context.settings.profile
    if keyring:
        config_edit.store_key_in_keyring(path, profile, text)
        return f"the desktop's keyring, as {_location(setting, profile)} says"
    if not setting.secret:
        config_edit.set_value(path, profile, setting.name, _toml_value(setting, text))
    elif problem := config_edit.store_key_in_config(path, profile, text):
        context.reporter.notice(f"the key that was in the keyring before is still there: {problem.message}")
    return _location(setting, profile)


def _toml_value(setting: Setting, text: str) -> str | int | float:
    """Return the value as it is written to the config file: a number for a number, else the text."""
    parsed = setting.parse(text)
    if setting is SETTINGS["api_key_file"] and parsed not in ("-", "/dev/stdin"):
        # The config file applies in every folder, so a relative path would not be found again.
        return os.path.abspath(text)
    if isinstance(parsed, float) and parsed.is_integer():
        return int(parsed)
    return parsed if isinstance(parsed, int | float) else text


def _location(setting: Setting, profile: str) -> str:
    """Return the path of the config file, with the table of any profile but the default one."""
    path = locations.config_path()
    return path if setting is PROFILE or profile == DEFAULT_PROFILE else f"{path} [profiles.{profile}]"

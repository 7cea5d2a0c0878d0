"""`seedream config`: the settings of this user."""

from __future__ import annotations

import getpass
import os
import sys
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
from ..settings import resolve
from ..settings.schema import DEFAULT_PROFILE, PROFILE, SETTINGS, Setting, known
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
    setting = known(key)
    if keyring:
        _require_keyring(setting)
    text = _secret(setting, value) if setting.secret else _open(setting, value)
    where = _store(context, setting, text, keyring=keyring)
    context.reporter.notice(f"{setting.name} is stored in {where}")
    for variable in filter(os.environ.get, setting.variables):
        context.reporter.notice(f"{variable} is set in the environment, and comes before it")
    path = str(resolve.config_path())
    context.reporter.result([], ConfigSet(path, setting.name, keyring if setting.secret else UNSET))


@app.command(cls=Command)
@command(Options)
def get(context: CommandContext, key: Name) -> None:
    """Print a setting's value as it counts now; secrets are masked.

    \b
    seedream config get quality
    seedream config get output --profile print
    """
    setting = context.settings.get(known(key).name)
    document = ConfigGet(setting.key, setting.shown, setting.origin)
    context.reporter.result([] if setting.shown is None else [clean(setting.shown)], document)
    if setting.shown is None:
        context.reporter.say(f"{setting.key} is not set")


@app.command(cls=Command)
@command(Options)
def unset(context: CommandContext, key: Name) -> None:
    """Remove a setting from the config, and the API key from the desktop's keyring.

    \b
    seedream config unset quality
    seedream config unset api_key --profile print
    """
    from ..settings import config_edit

    setting = known(key)
    path, profile = resolve.config_path(), context.settings.profile
    if setting.secret:
        removed = config_edit.forget(path, profile)
    else:
        removed = config_edit.unset_value(path, profile, setting.name)
    what = f"{setting.name} is removed from" if removed else f"{setting.name} was not set in"
    context.reporter.notice(f"{what} {_place(setting, profile)}")
    context.reporter.result([], ConfigUnset(setting.name, removed))


@app.command("list", cls=Command)
@command(Options)
def list_(context: CommandContext) -> None:
    """Print every setting and style, its value and where it comes from; secrets are masked.

    \b
    seedream config list
    seedream config list --json
    """
    found = list(context.settings.list())
    styles = list(context.settings.styles.values())
    rows = [(one.key, one.shown or "-", one.origin) for one in found]
    rows += [(f"styles.{one.name}", one.text, one.origin) for one in styles]
    width = max(len(key) for key, _, _ in rows)
    lines = [clean(f"{key:<{width}}  {value}  ({origin})") for key, value, origin in rows]
    document = ConfigList(
        [SettingDocument(one.key, one.shown, one.origin) for one in found],
        [StyleDocument(one.name, one.text, one.origin) for one in styles],
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
    where = str(resolve.config_path())
    context.reporter.result([where], ConfigPath(where))


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
    setting, origin = context.settings.key_place or ("api_key", "default")
    lines = [f"{base_url} takes the key", clean(f"{setting} is from {origin}")]
    lines += [clean(f"{name}: {value}") for name, value in account.items()]
    check = CheckDocument(base_url, KeyOriginDocument(setting, origin), dict(account))
    context.reporter.result(lines, ConfigCheck(check))


def _require_keyring(setting: Setting) -> None:
    """Before anybody types a key."""
    from ..settings import keyring

    if not setting.secret:
        raise UsageError(f"only api_key can be kept in the keyring, not {setting.name}")
    keyring.require()


def _store(context: CommandContext, setting: Setting, text: str, *, keyring: bool) -> str:
    """Put it where it belongs; the words for where that is."""
    from ..settings import config_edit

    path, profile = resolve.config_path(), context.settings.profile
    if keyring:
        config_edit.store_key_in_keyring(path, profile, text)
        return f"the desktop's keyring, as {_place(setting, profile)} says"
    if not setting.secret:
        config_edit.set_value(path, profile, setting.name, _stored(setting, text))
    elif problem := config_edit.store_key_in_config(path, profile, text):
        context.reporter.notice(f"the key that was in the keyring before is still there: {problem.message}")
    return _place(setting, profile)


def _place(setting: Setting, profile: str) -> str:
    """Where a setting stands in the config; that a profile is the default one goes without saying."""
    path = resolve.config_path()
    return str(path) if setting is PROFILE or profile == DEFAULT_PROFILE else f"{path} [profiles.{profile}]"


def _secret(setting: Setting, value: str | None) -> str:
    """A secret from stdin or from a question without echo."""
    if value is not None and value != "-":
        raise UsageError(
            f"{setting.name} is not taken from the command line: "
            "other programs and the shell's history could read it there",
            hint=f"seedream config set {setting.name}",
        )
    if value == "-":
        return _parsed(setting, read_stdin().strip())
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
        # The question's line has no end yet.
        print(file=sys.stderr)
        raise
    return _parsed(setting, typed.strip())


def _open(setting: Setting, value: str | None) -> str:
    if value is None:
        raise UsageError(f"no value for {setting.name} was given", hint="seedream config set --help")
    return _parsed(setting, read_stdin().strip() if value == "-" else value)


def _parsed(setting: Setting, text: str) -> str:
    try:
        (setting.check or setting.parse)(text)
    except ValueError as error:
        raise UsageError(f"{setting.name}: {error}", code="invalid_setting") from None
    return text


def _stored(setting: Setting, text: str) -> str | int | float:
    """The value as TOML writes it best: numbers as numbers."""
    parsed = setting.parse(text)
    if setting is SETTINGS["api_key_file"] and parsed not in ("-", "/dev/stdin"):
        # Found again from every folder.
        return os.path.abspath(text)
    if isinstance(parsed, float) and parsed.is_integer():
        return int(parsed)
    return parsed if isinstance(parsed, int | float) else text

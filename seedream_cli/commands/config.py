"""`seedream config`: the settings of this user."""

from __future__ import annotations

import getpass
import sys
from typing import Annotated

import typer

from .. import config as settings
from ..errors import Stopped, UsageProblem
from ..output.streams import is_terminal
from ..output.text import clean
from ..settings import Key, known
from ._options import Options, ServiceOptions, with_options
from ._session import Session, read_stdin, session

app = typer.Typer(
    name="config",
    invoke_without_command=True,
)

Name = Annotated[str, typer.Argument(metavar="KEY", help="A setting, such as api_key or aspect_ratio.")]
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


@app.command("set")
@with_options(Options)
def set_(options: Options, key: Name, value: Value = None) -> None:
    """Store a setting. The API key is asked for without echo, or read from stdin with -.

    \b
    seedream config set api_key
    seedream config set api_key - < key.txt
    seedream config set quality 4K --profile print
    """
    from .. import config_store

    with session(options, kind="values") as run:
        setting = known(key)
        text = _secret(setting, value) if setting.secret else _open(setting, value)
        path = settings.config_path()
        config_store.set_value(path, run.settings.profile, setting.name, _stored(setting, text))
        run.reporter.notice(f"{setting.name} is stored in {path}")
        run.reporter.tell([], {"path": str(path), "key": setting.name})


@app.command()
@with_options(Options)
def get(options: Options, key: Name) -> None:
    """Print a setting's value as it counts now; secrets are masked.

    \b
    seedream config get quality
    seedream config get output --profile print
    """
    with session(options, kind="values") as run:
        setting = run.settings.get(known(key).name)
        document = {"key": setting.key, "value": setting.shown, "origin": setting.origin}
        run.reporter.tell([] if setting.shown is None else [clean(setting.shown)], document)
        if setting.shown is None:
            run.reporter.say(f"{setting.key} is not set")


@app.command()
@with_options(Options)
def unset(options: Options, key: Name) -> None:
    """Remove a setting from the config.

    \b
    seedream config unset quality
    seedream config unset api_key --profile print
    """
    from .. import config_store

    with session(options, kind="values") as run:
        name = known(key).name
        path = settings.config_path()
        removed = config_store.unset_value(path, run.settings.profile, name)
        run.reporter.notice(f"{name} is removed from {path}" if removed else f"{name} was not set in {path}")
        run.reporter.tell([], {"key": name, "removed": removed})


@app.command("list")
@with_options(Options)
def list_(options: Options) -> None:
    """Print every setting, its value and where it comes from; secrets are masked.

    \b
    seedream config list
    seedream config list --json
    """
    with session(options, kind="values") as run:
        found = list(run.settings.list())
        width = max(len(setting.key) for setting in found)
        lines = [clean(f"{one.key:<{width}}  {one.shown or '-'}  ({one.origin})") for one in found]
        document = {"settings": [{"key": one.key, "value": one.shown, "origin": one.origin} for one in found]}
        run.reporter.tell(lines, document)


@app.command()
@with_options(Options)
def path(options: Options) -> None:
    """Print where the config is.

    \b
    seedream config path
    "$EDITOR" "$(seedream config path)"
    """
    with session(options, kind="values") as run:
        where = str(settings.config_path())
        run.reporter.tell([where], {"path": where})


@app.command()
@with_options(ServiceOptions)
def check(options: ServiceOptions) -> None:
    """Ask the service whether it takes the key, and show what it says of the account.

    \b
    seedream config check
    seedream config check --profile print
    """
    with session(options, kind="values") as run:
        _check(run)


def _check(run: Session) -> None:
    client = run.client
    run.reporter.say(f"asking {run.reporter.service}")
    account = client.account()
    base_url = run.settings.value("base_url")
    lines = [f"{base_url} takes the key", *(clean(f"{name}: {value}") for name, value in account.items())]
    run.reporter.tell(lines, {"check": {"base_url": base_url, "account": dict(account)}})


def _secret(setting: Key, value: str | None) -> str:
    """A secret from stdin or from a question without echo."""
    if value is not None and value != "-":
        raise UsageProblem(
            f"{setting.name} is not taken from the command line: "
            "other programs and the shell's history could read it there",
            hint=f"seedream config set {setting.name}",
        )
    if value == "-":
        return _parsed(setting, read_stdin().strip())
    if not is_terminal(sys.stdin):
        raise UsageProblem(
            f"{setting.name} is asked for only on a terminal",
            hint=f"seedream config set {setting.name} - < key.txt",
        )
    try:
        typed = getpass.getpass("API key (not shown): ", stream=sys.stderr)
    except EOFError:
        # Ctrl-D.
        raise UsageProblem(f"no {setting.name} was typed; nothing is changed") from None
    except Stopped:
        # The question's line has no end yet.
        print(file=sys.stderr)
        raise
    return _parsed(setting, typed.strip())


def _open(setting: Key, value: str | None) -> str:
    if value is None:
        raise UsageProblem(f"no value for {setting.name} was given", hint="seedream config set --help")
    return _parsed(setting, read_stdin().strip() if value == "-" else value)


def _parsed(setting: Key, text: str) -> str:
    try:
        (setting.check or setting.parse)(text)
    except ValueError as error:
        raise UsageProblem(f"{setting.name}: {error}", code="invalid_setting") from None
    return text


def _stored(setting: Key, text: str) -> str | int | float:
    """The value as TOML writes it best: numbers as numbers."""
    parsed = setting.parse(text)
    if isinstance(parsed, float) and parsed.is_integer():
        return int(parsed)
    return parsed if isinstance(parsed, int | float) else text

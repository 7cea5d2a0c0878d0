"""Generate the man pages, one for the program and one for each command, with the macros of man(7)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from seedream_cli.errors import ExitCode
from seedream_cli.settings import locations
from seedream_cli.settings.resolve import PROJECT_FILE
from seedream_cli.settings.schema import PROFILE, SETTINGS

from .tree import Argument, Command, Option
from .values import STATIC

_CODE = re.compile("`([^`]+)`")

Row = tuple[str, str]

#: Characters that roff interprets, or prints as typographic signs that cannot be copied into a shell.
_ESCAPES = str.maketrans({"\\": "\\e", "-": "\\-", "~": "\\(ti", "^": "\\(ha", "`": "\\(ga"})

_ABOUT = (
    "A task is created at the service, costs money and takes 10 to 30 seconds, minutes for 4K. Whatever "
    "happens from the moment on which its request may have been received, the message ends in the command "
    "that gets its image, and that command creates no second task.",
    "Standard output is the answer and nothing else: the saved paths, one a line, or with `--json` one "
    "document. Standard error is the conversation. Nothing is asked where standard input is not a terminal.",
    "Settings are taken from flags, then from the environment, then from `[defaults]` in the project's "
    f"`{PROJECT_FILE}`, then from the profile in the user's config. Each is named the same everywhere: "
    "`--aspect-ratio`, `SEEDREAM_ASPECT_RATIO`, `aspect_ratio`.",
)

#: Environment variables that are not settings, on the page of the program.
_COMMON_VARIABLES: Mapping[str, str] = {
    "NO_COLOR": "where it is not empty, nothing is coloured; it wins over the next two",
    "FORCE_COLOR, CLICOLOR_FORCE": "colour also where no terminal is",
    "CI, TERM": "no live drawing in CI, nor where TERM is dumb",
    "HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY": "proxies (http, https, socks5, socks5h)",
    "SSL_CERT_FILE, SSL_CERT_DIR": "the certificates that are trusted",
    "XDG_CONFIG_HOME, XDG_STATE_HOME": "where the folders below are, on Linux",
}

_FILES: Sequence[Row] = (
    (
        f"~/.config/{locations.APP_NAME}/{locations.CONFIG_FILE}",
        "The user's config. Where it is on another system, `seedream config path` prints.",
    ),
    (
        f"~/.local/state/{locations.APP_NAME}/{locations.HISTORY_FILE}",
        "Every operation of this machine, from before its request left. The key is not in it.",
    ),
    (PROJECT_FILE, "The project's settings, and the manifest of `seedream sync`."),
)


@dataclass(frozen=True, slots=True)
class Release:
    """A release, as the footer of a page shows it."""

    date: str
    version: str


def pages(program: Command, release: Release) -> Mapping[str, str]:
    """Return the text of each page, by its file name."""
    commands = [program, *program.commands]
    names = sorted(map(_page_name, commands))
    return {
        f"{_page_name(command)}.1": _page(
            command, release, [name for name in names if name != _page_name(command)]
        )
        for command in commands
    }


def _page_name(command: Command) -> str:
    return "-".join(("seedream", *command.path))


def _page(command: Command, release: Release, see_also: list[str]) -> str:
    lines = [
        '.\\" Written by `python -m scripts.generate`: change that.',
        f'.TH {_page_name(command).upper()} 1 {release.date} "seedream {release.version}" "User Commands"',
        # Hyphenated or justified text would spoil names and paths that are copied from the page.
        ".nh",
        ".ad l",
        ".SH NAME",
        f"{_text(_page_name(command))} \\- {_text(command.brief[:1].lower() + command.brief[1:])}",
        ".SH SYNOPSIS",
        *_synopsis(command),
        ".SH DESCRIPTION",
        *_paragraphs(command.what, *command.paragraphs, *(() if command.path else _ABOUT)),
    ]
    if command.commands:
        lines += [".SH COMMANDS", *_commands(command)]
    if command.arguments:
        lines += [".SH ARGUMENTS", *_arguments(command.arguments)]
    lines += [".SH OPTIONS", *_options(_shared_options(command))]
    lines += [".SH EXIT STATUS", *_list((str(int(code)), f"{code.label}: {code.when}.") for code in ExitCode)]
    if variables := dict(_variables(command)):
        lines += [
            ".SH ENVIRONMENT",
            *_list((name, f"{what[0].upper()}{what[1:]}.") for name, what in variables.items()),
        ]
    if not command.path or _takes(command, "--profile"):
        lines += [".SH FILES", *_list(_FILES)]
    if command.examples:
        lines += [".SH EXAMPLES", ".EX", *map(_code, command.examples), ".EE", ".nh"]
    lines += [
        ".SH SEE ALSO",
        *(f".BR {_text(name)} (1)," for name in see_also[:-1]),
        f".BR {_text(see_also[-1])} (1)",
    ]
    return "\n".join(lines) + "\n"


def _synopsis(command: Command) -> Iterator[str]:
    if not command.path:
        yield "\\fBseedream\\fR [\\fIOPTION\\fR] \\fICOMMAND\\fR ..."
        return
    lines = []
    for subcommand in command.commands or (command,):
        words = _text(" ".join(("seedream", *subcommand.path)))
        arguments = "".join(f" {_italic_names(argument.shown)}" for argument in subcommand.arguments)
        lines.append(f"\\fB{words}\\fR [\\fIOPTION\\fR]...{arguments}")
    yield "\n.br\n".join(lines)


def _italic_names(argument: str) -> str:
    """Return an argument of a synopsis, such as `[TASK]...`, with only its name in italics."""
    return re.sub(r"[A-Z]+", lambda found: f"\\fI{found[0]}\\fR", argument)


def _commands(command: Command) -> Iterator[str]:
    if not command.path:
        yield from _list((f"seedream {sub.name}", sub.what) for sub in command.commands)
        return
    shared = _shared_options(command)
    seen: set[Argument] = set()
    for sub in command.commands:
        yield f".SS {_text(' '.join(('seedream', *sub.path)))}"
        yield from _paragraphs(sub.what, *sub.paragraphs)
        # The values of an argument are listed once, with the first subcommand that has it.
        yield from _arguments(replace(one, kind="") if one in seen else one for one in sub.arguments)
        seen |= set(sub.arguments)
        yield from _options([option for option in sub.options if option not in shared], heading=False)


def _shared_options(command: Command) -> list[Option]:
    """Return the options of a command. Of a group, return those that all of its subcommands have."""
    if not command.path or not command.commands:
        return list(command.options)
    first, *others = command.commands
    return [option for option in first.options if all(option in other.options for other in others)]


def _arguments(arguments: Iterable[Argument]) -> Iterator[str]:
    for argument in arguments:
        yield from _item(_italic_names(argument.metavar), argument.what, argument.kind)


def _options(options: Iterable[Option], *, heading: bool = True) -> Iterator[str]:
    """Yield the options by group, those without a group first."""
    groups: dict[str, list[Option]] = {"Options": []}
    for option in options:
        groups.setdefault(option.group, []).append(option)
    for group, members in groups.items():
        if heading and members and group != "Options":
            yield f".SS {_text(group)}"
        for option in members:
            flags = ", ".join(f"\\fB{_text(flag)}\\fR" for flag in option.flags)
            value = f" \\fI{_text(option.metavar)}\\fR" if option.metavar else ""
            more = f" Default: {option.default}." if option.default else ""
            yield from _item(f"{flags}{value}", f"{option.what}{more}", option.kind)


def _item(term: str, what: str, kind: str | None) -> Iterator[str]:
    """Yield an option or argument, with the values that it can have."""
    values = STATIC.get(kind or "", {})
    described = all(values.values())
    names = "" if described else f" One of {', '.join(values)}."
    yield from (".TP", term, _text(what + names))
    if values and described:
        yield from (".RS", ".PD 0", *_list(values.items()), ".PD", ".RE")


def _variables(command: Command) -> Iterator[Row]:
    """Yield the environment variables that the command reads, each with a description."""
    for setting in SETTINGS.values():
        flag = f"--{setting.name.replace('_', '-')}"
        is_read = _takes(command, flag) or (setting.secret and _takes(command, "--api-key-file"))
        if is_read or not command.path:
            default = f" (default {setting.default})" if setting.default is not None else ""
            yield ", ".join(setting.variables), f"{setting.description}{default}"
    if not command.path or _takes(command, "--profile"):
        yield ", ".join(PROFILE.variables), "the profile of the config to use"
    for option in _all_options(command):
        for variable in option.variables:
            yield variable, f"the value of {option.flags[-1]}"
    if not command.path:
        yield from _COMMON_VARIABLES.items()


def _takes(command: Command, flag: str) -> bool:
    return any(flag in option.flags for option in _all_options(command))


def _all_options(command: Command) -> Iterator[Option]:
    return (option for one in command.walk() for option in one.options)


def _list(rows: Iterable[Row]) -> Iterator[str]:
    """Yield a list of bold terms, each with a description."""
    for term, what in rows:
        yield from (".TP", f"\\fB{_text(term)}\\fR", _text(what))


def _paragraphs(*texts: str) -> Iterator[str]:
    for number, text in enumerate(texts):
        if number:
            yield ".PP"
        yield _text(text)


def _text(text: str) -> str:
    """Return running text, with code between backquotes in bold."""
    marked = _CODE.sub("\0\\1\1", text)
    plain = _ascii(marked.translate(_ESCAPES)).replace("\0", "\\fB").replace("\1", "\\fR")
    # A line that begins with one of these is a request to roff.
    return f"\\&{plain}" if plain.startswith((".", "'")) else plain


def _code(text: str) -> str:
    """Return a line of an example, with quotes that can be copied into a shell."""
    line = _ascii(text.translate(_ESCAPES)).replace("'", "\\(aq").replace('"', "\\(dq")
    return f"\\&{line}" if line.startswith(".") else line


def _ascii(text: str) -> str:
    return "".join(char if char.isascii() else f"\\[u{ord(char):04X}]" for char in text)

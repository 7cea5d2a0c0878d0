"""Man pages, in the macros of man(7): one for the program, and one a command."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from seedream_cli.errors import ExitCode
from seedream_cli.settings import locations as folders
from seedream_cli.settings.resolve import PROJECT_FILE
from seedream_cli.settings.schema import SETTINGS

from .tree import Argument, Command, Option
from .values import STATIC

_CODE = re.compile("`([^`]+)`")

Row = tuple[str, str]

#: What roff takes for something else, or shows as a typographic sign that no shell would take.
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

#: Variables that are nobody's own, for the program's page.
_COMMON_VARIABLES: Mapping[str, str] = {
    "NO_COLOR": "where it is not empty, nothing is coloured; it wins over the next two",
    "FORCE_COLOR, CLICOLOR_FORCE": "colour also where no terminal is",
    "CI, TERM": "no live drawing in CI, nor where TERM is dumb",
    "HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY": "proxies (http, https, socks5, socks5h)",
    "SSL_CERT_FILE, SSL_CERT_DIR": "the certificates that are trusted",
    "XDG_CONFIG_HOME, XDG_STATE_HOME": "where the folders below are, on Linux",
}


@dataclass(frozen=True, slots=True)
class Release:
    """What the pages' foot shows; ``date`` is that of the version."""

    date: str
    version: str


def pages(program: Command, release: Release) -> Mapping[str, str]:
    """File name → page."""
    commands = [program, *program.commands]
    names = sorted(_page(command) for command in commands)
    return {
        f"{_page(command)}.1": _text_of(command, release, [one for one in names if one != _page(command)])
        for command in commands
    }


def _page(command: Command) -> str:
    return "-".join(("seedream", *command.path))


def _text_of(command: Command, release: Release, others: list[str]) -> str:
    lines = [
        '.\\" Written by `python -m scripts.generate`: change that.',
        f'.TH {_page(command).upper()} 1 {release.date} "seedream {release.version}" "User Commands"',
        # No word is broken, no line is stretched: names and paths are copied from here.
        ".nh",
        ".ad l",
        ".SH NAME",
        f"{_text(_page(command))} \\- {_text(_beginning(command.brief))}",
        ".SH SYNOPSIS",
        *_synopsis(command),
        ".SH DESCRIPTION",
        *_paragraphs(command.what, *command.paragraphs, *(() if command.path else _ABOUT)),
    ]
    if command.commands:
        lines += [".SH COMMANDS", *_commands(command)]
    if command.arguments:
        lines += [".SH ARGUMENTS", *_arguments(command.arguments)]
    shared = _shared_options(command)
    lines += [".SH OPTIONS", *_options(shared)]
    lines += [".SH EXIT STATUS", *_list((str(int(code)), f"{code.label}: {code.when}.") for code in ExitCode)]
    if variables := dict(_variables(command)):
        lines += [
            ".SH ENVIRONMENT",
            *_list((name, f"{what[0].upper()}{what[1:]}.") for name, what in variables.items()),
        ]
    if not command.path or _takes(command, "--profile"):
        lines += [".SH FILES", *_list(_files())]
    if command.examples:
        lines += [".SH EXAMPLES", ".EX", *map(_code, command.examples), ".EE", ".nh"]
    lines += [
        ".SH SEE ALSO",
        *(f".BR {_text(name)} (1)," for name in others[:-1]),
        f".BR {_text(others[-1])} (1)",
    ]
    return "\n".join(lines) + "\n"


def _synopsis(command: Command) -> Iterator[str]:
    if not command.path:
        yield "\\fBseedream\\fR [\\fIOPTION\\fR] \\fICOMMAND\\fR ..."
        return
    calls = [_call(one) for one in command.commands] or [_call(command)]
    yield "\n.br\n".join(calls)


def _call(command: Command) -> str:
    arguments = "".join(f" {_shown(one.shown)}" for one in command.arguments)
    return f"\\fB{_text(' '.join(('seedream', *command.path)))}\\fR [\\fIOPTION\\fR]...{arguments}"


def _shown(argument: str) -> str:
    """A synopsis has the names of arguments in italics, and nothing else of them."""
    return re.sub(r"[A-Z]+", lambda found: f"\\fI{found[0]}\\fR", argument)


def _commands(command: Command) -> Iterator[str]:
    if not command.path:
        yield from _list((f"seedream {one.name}", one.what) for one in command.commands)
        return
    shared, told = _shared_options(command), set[Argument]()
    for one in command.commands:
        yield f".SS {_text(' '.join(('seedream', *one.path)))}"
        yield from _paragraphs(one.what, *one.paragraphs)
        # What a word can be is told where it comes first.
        yield from _arguments(replace(each, kind="") if each in told else each for each in one.arguments)
        told |= set(one.arguments)
        yield from _options([option for option in one.options if option not in shared], heading=False)


def _shared_options(command: Command) -> list[Option]:
    """Those of the command; of a group, those that all of its commands take."""
    if not command.path or not command.commands:
        return list(command.options)
    first, *rest = command.commands
    return [option for option in first.options if all(option in one.options for one in rest)]


def _arguments(arguments: Iterable[Argument]) -> Iterator[str]:
    for one in arguments:
        yield from _item(_shown(one.metavar), one.what, one.kind)


def _options(options: Iterable[Option], *, heading: bool = True) -> Iterator[str]:
    """The options by their groups, those without one first."""
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
    values = STATIC.get(kind or "", {})
    described = all(values.values())
    names = "" if described else f" One of {', '.join(values)}."
    yield from (".TP", term, _text(what + names))
    if values and described:
        yield from (".RS", ".PD 0", *_list(values.items()), ".PD", ".RE")


def _variables(command: Command) -> Iterator[Row]:
    for key in SETTINGS.values():
        flag = f"--{key.name.replace('_', '-')}"
        has_it = _takes(command, flag) or (key.secret and _takes(command, "--api-key-file"))
        if has_it or not command.path:
            default = f" (default {key.default})" if key.default is not None else ""
            yield ", ".join(key.variables), f"{key.what}{default}"
    if not command.path or _takes(command, "--profile"):
        yield "SEEDREAM_PROFILE", "the profile of the config to use"
    for one in command.walk():
        for option in one.options:
            for variable in option.variables:
                yield variable, f"the value of {option.flags[-1]}"
    if not command.path:
        yield from _COMMON_VARIABLES.items()


def _takes(command: Command, flag: str) -> bool:
    return any(flag in option.flags for one in command.walk() for option in one.options)


def _files() -> Iterator[Row]:
    folder = folders.APP_NAME
    yield (
        f"~/.config/{folder}/{folders.CONFIG_FILE}",
        "The user's config. Where it is on another system, `seedream config path` prints.",
    )
    yield (
        f"~/.local/state/{folder}/{folders.HISTORY_FILE}",
        "Every operation of this machine, from before its request left. The key is not in it.",
    )
    yield PROJECT_FILE, "The project's settings, and the manifest of `seedream sync`."


def _list(rows: Iterable[Row]) -> Iterator[str]:
    for term, what in rows:
        yield from (".TP", f"\\fB{_text(term)}\\fR", _text(what))


def _paragraphs(*texts: str) -> Iterator[str]:
    for number, text in enumerate(texts):
        if number:
            yield ".PP"
        yield _text(text)


def _beginning(text: str) -> str:
    return text[:1].lower() + text[1:]


def _text(text: str) -> str:
    """Running text; what stands between backquotes is shown bold."""
    marked = _CODE.sub("\0\\1\1", text)
    plain = _ascii(marked.translate(_ESCAPES)).replace("\0", "\\fB").replace("\1", "\\fR")
    # Either would be a command at the beginning of a line.
    return f"\\&{plain}" if plain.startswith((".", "'")) else plain


def _code(text: str) -> str:
    """What can be copied, quotes included."""
    line = _ascii(text.translate(_ESCAPES)).replace("'", "\\(aq").replace('"', "\\(dq")
    return f"\\&{line}" if line.startswith(".") else line


def _ascii(text: str) -> str:
    return "".join(char if char.isascii() else f"\\[u{ord(char):04X}]" for char in text)

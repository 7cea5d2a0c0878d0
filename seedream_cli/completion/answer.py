"""Answer `seedream completion --list=CURRENT -- WORD...`, which the scripts in completions/ run at every Tab.

The words are those before the cursor, without the program's name. CURRENT is the word at the cursor, up to
the cursor: glued to the option, because Windows PowerShell drops empty arguments. Each candidate is a whole
word on a line of its own, followed by a tab and its description. The shell selects those that match, by its
own rules. If a path is expected, the only line is `:files`, a tab, and the part of CURRENT before the path,
such as `--output=`.

The shell waits at every Tab, so imports are few. It cannot show errors, so nothing is printed if one occurs.
"""

from __future__ import annotations

import sys

from .command_line import CommandLine, split_option
from .table import ARGUMENTS, COMMANDS, OPTIONS, VALUES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    Candidate = tuple[str, str]

FILES = "files"


def answer(arguments: Sequence[str]) -> None:
    """Print the candidates; ``arguments`` are `--list=CURRENT -- WORD...`."""
    try:
        current = arguments[0].partition("=")[2].lstrip("'\"")
        lines = [f"{word}\t{description}\n" for word, description in candidates(current, arguments[2:])]
        sys.stdout.buffer.write("".join(lines).encode("utf-8", "replace"))
        sys.stdout.buffer.flush()
    except (Exception, KeyboardInterrupt):
        # For example an invalid config file: the command reports it when it is run.
        return


def candidates(current: str, words: Sequence[str]) -> Iterator[Candidate]:
    """Yield what can replace ``current`` after ``words``, each with its description."""
    line = CommandLine(words)
    prefix, kind = "", None
    if line.pending is not None:
        kind = line.pending
    elif not line.options_ended and current.startswith("-"):
        flag, prefix = split_option(current)
        kind = line.kind_of(flag) if prefix else None
        if kind is None:
            yield from _unused_options(line)
    elif COMMANDS[line.command]:
        yield from COMMANDS[line.command].items()
    else:
        kind = _kind_of_argument(line)
    if kind == FILES:
        yield f":{FILES}", prefix
    elif kind:
        for word, description in _values(kind, line):
            yield prefix + word, description


def _unused_options(line: CommandLine) -> Iterator[Candidate]:
    for flags, _, repeatable, description in OPTIONS[line.command]:
        if repeatable or line.flags.isdisjoint(flags):
            for flag in flags:
                yield flag, description


def _kind_of_argument(line: CommandLine) -> str:
    """Return the kind of the next argument's value, "" if no argument can follow."""
    kinds = ARGUMENTS[line.command]
    repeated = kinds[-1:] if kinds and kinds[-1].endswith("+") else []
    following = [*kinds[len(line.arguments) :], *repeated]
    kind = following[0].removesuffix("+") if following else ""
    if kind == "value_of_setting":
        # A setting has the values of the option of the same name.
        option = "--" + line.arguments[-1].replace("_", "-")
        return next((kind or "" for flags, kind, _, _ in OPTIONS["generate"] if option in flags), "")
    return kind


def _values(kind: str, line: CommandLine) -> Iterable[Candidate]:
    """Return the values of a kind: from the table, or else from local files."""
    if kind in VALUES:
        return VALUES[kind].items()
    if kind == "commands":
        return COMMANDS.get(" ".join(line.arguments), {}).items()
    from . import local_values

    return local_values.candidates(kind, line)

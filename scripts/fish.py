"""The completion script for fish."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from .levels import HEADER, NAMES, Level, kinds
from .tree import Option
from .values import After, Asked, Files, Kind, Words

_ENGINE = r"""
# The commands on the line, then a line each for its arguments.
function __seedream_parsed
    set -l path
    set -l arguments
    set -l words (commandline -opc)
    set -e words[1]
    while set -q words[1]
        set -l word $words[1]
        set -e words[1]
        if test "$word" = --
            set -a arguments $words
            break
        else if string match -q -- '-?*' $word
            contains -- $word (__seedream_valued "$path"); and set -e words[1]
        else if contains -- (string trim "$path $word") $__seedream_commands
            set path (string trim "$path $word")
        else
            set -a arguments $word
        end
    end
    string join \n -- "$path" $arguments
end

function __seedream_at
    test "$argv" = (__seedream_parsed)[1]
end

# The values of the place where the cursor is; its kinds are given, the last one twice if it repeats.
function __seedream_place
    # An option is being typed: fish looks here all the same.
    string match -q -- '-*' (commandline -ct); and return
    set -l arguments (__seedream_parsed)
    set -e arguments[1]
    set -l place (math (count $arguments) + 1)
    if test $place -gt (count $argv)
        set -q argv[2]; and test "$argv[-1]" = "$argv[-2]"; or return
        set place -1
    end
    __seedream_values $argv[$place] $arguments[-1]
end

# What the program knows from this machine's files.
function __seedream_ask
    set -l words (commandline -opc)
    set -l program $words[1]
    # An alias is no name of a program.
    command -q -- $program; or set program seedream
    command -q -- $program; or return
    command $program completion --list $argv[1] $words[2..-1] 2>/dev/null </dev/null
end
"""


def script(levels: tuple[Level, ...]) -> str:
    name, *others = NAMES
    lines = [f"complete -c {name} -f"]
    lines += [line for level in levels for line in _level(level)]
    lines += [_other(other) for other in others]
    return (
        f"# {HEADER}\n\nset -g __seedream_commands {_list(level.words for level in levels if level.path)}\n"
        f"{_ENGINE}\n{_valued_function(levels)}\n{_values_function(kinds(levels))}\n"
        + "\n".join(lines)
        + "\n"
    )


def other_name() -> str:
    """For the program's other name, where fish looks for a file of that name."""
    return f"# {HEADER}\n{_other(NAMES[1])}\n"


def _other(name: str) -> str:
    return f"complete -c {name} -w {NAMES[0]}"


def _level(level: Level) -> Iterator[str]:
    start = f"complete -c {NAMES[0]} -n {_quoted(' '.join(('__seedream_at', *level.path)))}"
    for word, what in level.commands:
        yield f"{start} -a {word} -d {_quoted(what)}"
    for option in level.options:
        yield f"{start} {_option(option)}"
    if any(place.kind for place in level.places):
        kinds_ = [kind for place in level.places for kind in [_kind(place.kind)] * (1 + place.repeatable)]
        yield f"{start} -k -a {_quoted(f'(__seedream_place {_list(kinds_)})')}"


def _option(option: Option) -> str:
    flags = [f"-l {flag[2:]}" if flag.startswith("--") else f"-s {flag[1:]}" for flag in option.flags]
    if option.metavar is None:
        takes = []
    elif isinstance(option.kind, Files):
        takes = ["-r -F"]
    elif option.kind is None:
        takes = ["-x"]
    else:
        takes = [f"-x -k -a {_quoted(f'(__seedream_values {option.kind.name})')}"]
    return " ".join([*flags, *takes, f"-d {_quoted(option.brief)}"])


def _valued_function(levels: tuple[Level, ...]) -> str:
    cases = "".join(
        f"        case {_quoted(level.words)}\n            string join \\n -- {_list(level.valued)}\n"
        for level in levels
        if level.valued
    )
    return (
        "# The options that take a value.\n"
        f"function __seedream_valued\n    switch $argv[1]\n{cases}    end\nend\n"
    )


def _values_function(found: tuple[Kind, ...]) -> str:
    cases = "".join(f"        case {kind.name}\n{_rows_of(kind)}" for kind in found)
    return (
        "# The values of a kind, and what each is; the argument before it may follow.\n"
        f"function __seedream_values\n    switch $argv[1]\n{cases}    end\nend\n"
    )


def _rows_of(kind: Kind) -> str:
    if isinstance(kind, Words):
        rows = "".join(f" {_quoted(word)} {_quoted(what)}" for word, what in kind.rows)
        return f"            printf '%s\\t%s\\n'{rows}\n"
    if isinstance(kind, Asked):
        return f"            __seedream_ask {kind.name}\n"
    if isinstance(kind, Files):
        return "            __fish_complete_path (commandline -ct)\n"
    return _after(kind)


def _after(kind: After) -> str:
    cases = "".join(
        f"                case {word}\n                    __seedream_values {part.name}\n"
        for word, part in kind.kinds
    )
    return f"            switch $argv[2]\n{cases}            end\n"


def _kind(kind: Kind | None) -> str:
    return kind.name if kind is not None else "-"


def _list(words: Iterable[str]) -> str:
    return " ".join(word if word.replace("_", "").isalnum() else _quoted(word) for word in words)


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"

"""The completion script for zsh: a file `_seedream` for a folder of fpath, which can be sourced as well."""

from __future__ import annotations

from collections.abc import Iterable

from .levels import HEADER, NAMES, Level, kinds
from .tree import Option
from .values import After, Files, Kind, Row, Words

_ENGINE = r"""
# What the program knows from this machine's files.
_seedream_ask() {
    # An option is being typed: _arguments looks here all the same.
    [[ $PREFIX != -* ]] || return 1
    local program=${(Q)seedream_words[1]} row
    local -a rows
    # An alias or a ~ is no name of a program.
    [[ -n $commands[$program] || -x $program ]] || program=seedream
    for row in ${(f)"$($program completion --list $1 ${(Q)seedream_words[2,-1]} 2>/dev/null </dev/null)"}; do
        rows+=("${${${row%%$'\t'*}//\\/\\\\}//:/\\:}:${row#*$'\t'}")
    done
    shift
    _seedream_rows "$@"
}

# Offers rows in their order; $1 is what they are.
_seedream_rows() {
    local what=$1
    shift
    _describe -V -t seedream "$what" rows "$@"
}

# Says what is wanted where nothing can be offered. Said beside the start of an option, it would keep that
# from being completed.
_seedream_wanted() {
    [[ $PREFIX == -* ]] || _message "$1"
}
"""


def script(levels: tuple[Level, ...]) -> str:
    functions = "\n".join(_level_function(level) for level in levels)
    values = "\n".join(_values_function(kind) for kind in kinds(levels) if not isinstance(kind, Files))
    names = " ".join(NAMES)
    return (
        f"#compdef {names}\n# {HEADER}\n{_ENGINE}\n{values}\n{functions}\n"
        "# Found through fpath, this file is the function's body; sourced, it has to be made known.\n"
        'if [[ $funcstack[1] == _seedream ]]; then\n    _seedream "$@"\n'
        f"else\n    compdef _seedream {names}\nfi\n"
    )


def _name(level: Level) -> str:
    return "_".join(("_seedream", *level.path))


def _level_function(level: Level) -> str:
    specs = [_option(option) for option in level.options]
    if level.commands:
        return _group_function(level, specs)
    for number, place in enumerate(level.places, 1):
        position = "*" if place.repeatable else str(number)
        specs.append(_quoted(f"{position}:{_message(place.metavar)}:{_action(place.kind, place.metavar)}"))
    return f"{_name(level)}() {{\n    _arguments -s -S \\\n{_lines(specs)}\n}}\n"


def _group_function(level: Level, specs: list[str]) -> str:
    cases = "".join(f"    {word}) {_name(level)}_{word} ;;\n" for word, _ in level.commands)
    keep = '    local -a seedream_words=("${(@)words[1,CURRENT-1]}")\n' if not level.path else ""
    return (
        f"{_name(level)}() {{\n"
        "    local curcontext=$curcontext state line\n"
        "    typeset -A opt_args\n"
        f"{keep}"
        "    _arguments -s -S -C \\\n"
        f"{_lines([*specs, _quoted('1: :->command'), _quoted('*:: :->arguments')])} && return\n"
        "    if [[ $state == command ]]; then\n"
        f"        local -a rows=({_rows(level.commands)})\n"
        "        _seedream_rows command\n"
        "        return\n"
        "    fi\n"
        f"    curcontext=${{curcontext%:*:*}}:seedream-$words[1]:\n"
        f"    case $words[1] in\n{cases}    esac\n"
        "}\n"
    )


def _option(option: Option) -> str:
    """An optspec of _arguments: `{-a+,--long=}` for one with a value, told once for all of its flags."""
    explained = f"[{_escaped(option.brief, '[]')}]"
    star = "*" if option.repeatable else ""
    others = f"({' '.join(option.flags)})" if len(option.flags) > 1 and not option.repeatable else ""
    if option.metavar is None:
        ends = ("", "")
        value = ""
    else:
        ends = ("+", "=")
        value = f":{_message(option.metavar)}:{_action(option.kind, option.metavar)}"
    flags = [f"{flag}{ends[flag.startswith('--')]}" for flag in option.flags]
    if len(flags) == 1:
        return _quoted(f"{star}{flags[0]}{explained}{value}")
    return f"{_quoted(others + star)}{{{','.join(flags)}}}{_quoted(explained + value)}"


def _action(kind: Kind | None, metavar: str) -> str:
    if kind is None:
        # The blank: it takes no arguments of compadd.
        return f' _seedream_wanted "{_message(metavar)}"'
    return "_files" if isinstance(kind, Files) else f"_seedream_value_{kind.name}"


def _values_function(kind: Kind) -> str:
    head = f"_seedream_value_{kind.name}() {{\n"
    label = _quoted(kind.name.replace("_", " "))
    if isinstance(kind, Words):
        return f'{head}    local -a rows=({_rows(kind.rows)})\n    _seedream_rows {label} "$@"\n}}\n'
    if not isinstance(kind, After):
        return f'{head}    _seedream_ask {kind.name} {label} "$@"\n}}\n'
    cases = "".join(f'    {word}) {_action(part, "")} "$@" ;;\n' for word, part in kind.kinds)
    return f"{head}    case $line[1] in\n{cases}    *) _seedream_wanted VALUE ;;\n    esac\n}}\n"


def _rows(rows: Iterable[Row]) -> str:
    """The elements of an array for _describe: `word:what`."""
    elements = [f"{_escaped(word, ':')}:{what}" if what else word for word, what in rows]
    return "\n".join(["", *(f"        {_quoted(element)}" for element in elements), "    "])


def _message(text: str) -> str:
    return _escaped(text, ":")


def _escaped(text: str, chars: str) -> str:
    return "".join(f"\\{char}" if char in chars + "\\" else char for char in text)


def _lines(words: Iterable[str]) -> str:
    return " \\\n".join(f"        {word}" for word in words)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"

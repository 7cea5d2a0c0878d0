"""The completion script for bash, 3.2 (of macOS) and later, with and without bash-completion."""

from __future__ import annotations

from collections.abc import Iterable

from .levels import HEADER, NAMES, Level, kinds
from .values import After, Asked, Files, Kind, Words

_ENGINE = r"""
# What the program knows from this machine's files.
_seedream_ask() {
    local program
    # An alias or a ~ is no name of a program.
    program=$(type -P -- "${words[0]}") || program=seedream
    "$program" completion --list "$1" "${words[@]:1:last-1}" 2>/dev/null </dev/null
}

# Sets words, of which the last one is cut at the cursor: bash splits at : and = too. Redirections are none of
# the program's words; files is set where the name of one's file is typed.
_seedream_split() {
    local i part line=${COMP_LINE:0:COMP_POINT} behind file=''
    words=()
    for ((i = 0; i <= COMP_CWORD; i++)); do
        behind=${line#"${line%%[![:space:]]*}"}
        part=${COMP_WORDS[i]}
        ((i < COMP_CWORD)) || part=$behind
        if [[ $part == [\<\>]* || $part == '&>'* ]]; then
            # As in 2>.
            [[ $behind != "$line" || ${words[${#words[@]}-1]} == *[!0-9]* ]] || unset 'words[${#words[@]}-1]'
            file=next
        elif [[ $file == next || ($file && $behind == "$line") ]]; then
            file=this
        elif [[ $i -gt 0 && $behind == "$line" ]]; then
            words[${#words[@]}-1]+=$part
        else
            words+=("$part")
            file=''
        fi
        line=${behind#"$part"}
    done
    last=$((${#words[@]} - 1))
    [[ ! $file ]] || files=1
}

# Sets kind: what the option $1 takes, . for nothing; empty where there is no such option.
_seedream_kind_of() {
    local flags often what
    kind=''
    while IFS=$'\t' read -r flags kind often what; do
        [[ " $flags " != *" $1 "* ]] || return 0
    done <<<"$options"
    kind=''
}

# Sets rows: the options that are not there yet.
_seedream_flags() {
    local flags kind often what flag
    rows=''
    while IFS=$'\t' read -r flags kind often what; do
        for flag in $flags; do
            [[ $often != once || $used != *" $flag "* ]] || continue 2
        done
        for flag in $flags; do
            rows+=$flag$'\t'$what$'\n'
        done
    done <<<"$options"
}

# Offers those of rows that begin with $2; $1 stands before them in the same word.
_seedream_offer() {
    local glued=$1 typed=$2 quote='' kept='' head char word what width=0 i
    local -a names=() texts=()
    case $typed in
    [\"\']*) quote=${typed:0:1} typed=${typed:1} ;;
    *) typed=${typed//\\/} ;;
    esac
    if [[ $quote ]]; then
        kept=$glued
    else
        # Readline replaces only what stands behind the last of these.
        for char in : =; do
            head=$glued$typed
            if [[ $COMP_WORDBREAKS == *"$char"* && $head == *"$char"* ]]; then
                head=${head%"$char"*}$char
                ((${#head} <= ${#kept})) || kept=$head
            fi
        done
    fi
    while IFS=$'\t' read -r word what; do
        [[ $word && $word == "$typed"* ]] || continue
        [[ $quote || $word != *[!A-Za-z0-9_.:=/-]* ]] || printf -v word %q "$word"
        word=$glued$word
        word=${word#"$kept"}
        names+=("$word")
        texts+=("$what")
        ((${#word} <= width)) || width=${#word}
    done <<<"$rows"
    [[ ${#names[@]} -gt 0 ]] || return 0
    COMPREPLY=("${names[@]}")
    compopt -o nosort 2>/dev/null
    # These types of completion show a list; what each candidate is goes with it, and is never inserted.
    case ${#names[@]}:$COMP_TYPE in
    1:*) return 0 ;;
    *:63 | *:33 | *:64) ;;
    *) return 0 ;;
    esac
    for ((i = 0; i < ${#names[@]}; i++)); do
        [[ ${texts[i]} ]] || continue
        printf -v word '%-*s  (%s)' "$width" "${names[i]}" "${texts[i]}"
        ((${#word} < ${COLUMNS:-80})) || word="${word:0:${COLUMNS:-80}-3}…)"
        # One below the other: readline makes columns as wide as the widest.
        [[ $i -gt 0 ]] || printf -v word '%-*s' $((${COLUMNS:-80} / 2 + 1)) "$word"
        COMPREPLY[i]=$word
    done
}

_seedream() {
    local IFS=$' \t\n' words last commands options places rows kind
    local path='' previous='' place=0 ended='' used=' ' pending='' files='' i word
    COMPREPLY=()
    _seedream_split
    [[ ! $files ]] || return 0
    _seedream_level ''
    for ((i = 1; i < last; i++)); do
        word=${words[i]}
        if [[ ! $ended && $word == -- ]]; then
            ended=1
        elif [[ ! $ended && $word == -?* ]]; then
            used+="${word%%=*} "
            [[ $word == *=* ]] || _seedream_kind_of "$word"
            if [[ $word != *=* && $kind && $kind != . ]]; then
                i=$((i + 1))
                pending=$kind
            fi
        elif [[ $'\n'$commands == *$'\n'"$word"$'\t'* ]]; then
            path="${path:+$path }$word"
            _seedream_level "$path"
        else
            previous=$word
            place=$((place + 1))
        fi
    done
    word=${words[last]}
    if ((i > last)); then
        _seedream_values "$pending"
        _seedream_offer '' "$word"
    elif [[ ! $ended && $word == --*=* ]]; then
        _seedream_kind_of "${word%%=*}"
        _seedream_values "$kind"
        _seedream_offer "${word%%=*}=" "${word#*=}"
    elif [[ ! $ended && $word == -[!-]?* ]] && _seedream_kind_of "${word:0:2}" && [[ ${kind:-.} != . ]]; then
        _seedream_values "$kind"
        _seedream_offer "${word:0:2}" "${word:2}"
    elif [[ ! $ended && $word == -* ]]; then
        _seedream_flags
        _seedream_offer '' "$word"
    elif [[ $commands ]]; then
        rows=$commands
        _seedream_offer '' "$word"
    else
        for kind in $places; do
            [[ $place -gt 0 && $kind != *+ ]] || break
            place=$((place - 1))
            kind=''
        done
        _seedream_values "${kind%+}"
        _seedream_offer '' "$word"
    fi
    # Where readline is to complete a file it does so by itself, quotes and all.
    [[ $files ]] || compopt +o default 2>/dev/null
    return 0
}
"""


def script(levels: tuple[Level, ...]) -> str:
    return (
        f"# shellcheck shell=bash\n# {HEADER}\n"
        f"{_level_function(levels)}\n{_values_function(kinds(levels))}{_ENGINE}\n"
        f"complete -o default -F _seedream {' '.join(NAMES)}\n"
    )


def other_name() -> str:
    """For the program's other name, where bash-completion looks for a file of that name."""
    return f'# shellcheck shell=bash\n# {HEADER}\nsource "${{BASH_SOURCE[0]%/*}}/{NAMES[0]}"\n'


def _level_function(levels: tuple[Level, ...]) -> str:
    cases = "".join(
        f"    {_quoted(level.words)})\n"
        f"        commands={_table(level.commands)}\n"
        f"        options={_table(level.option_rows)}\n"
        f"        places={_quoted(level.place_words)}\n"
        "        ;;\n"
        for level in levels
    )
    return (
        "\n# What can follow the words $1. commands: word, what it is. options: flags, the value's kind\n"
        "# (. none, - anything), how often, what it is. places: the kinds of arguments (+ it repeats).\n"
        f"_seedream_level() {{\n    case $1 in\n{cases}    esac\n}}\n"
    )


def _values_function(found: tuple[Kind, ...]) -> str:
    cases = "".join(f"    {kind.name}){_rows_of(kind)} ;;\n" for kind in found)
    return (
        "# Sets rows: the values of kind $1, and what each is.\n"
        f"_seedream_values() {{\n    rows=''\n    case $1 in\n{cases}    esac\n}}\n"
    )


def _rows_of(kind: Kind) -> str:
    if isinstance(kind, Words):
        return f" rows={_table(kind.rows)}"
    if isinstance(kind, Asked):
        return f" rows=$(_seedream_ask {kind.name})"
    if isinstance(kind, Files):
        return " files=1"
    return _after(kind)


def _after(kind: After) -> str:
    cases = "".join(f"        {word}) _seedream_values {part.name} ;;\n" for word, part in kind.kinds)
    return f"\n        case $previous in\n{cases}        esac\n       "


def _table(rows: Iterable[tuple[str, ...]]) -> str:
    """The rows as text: lines, with tabs between their columns."""
    return _quoted("".join("\t".join(row) + "\n" for row in rows))


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"

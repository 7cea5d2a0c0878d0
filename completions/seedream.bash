# shellcheck shell=bash
# Completion of seedream for bash 3.2 and later, with and without bash-completion. The candidates come from
# `seedream completion --list`, which reads local files only.

# Sets words to the words of the command up to the cursor: bash also splits them at : and =, and lists
# redirections. Sets file if the file of a redirection is being typed.
_seedream_words() {
    local i part rest line=${COMP_LINE:0:COMP_POINT}
    for ((i = 0; i <= COMP_CWORD; i++)); do
        rest=${line#"${line%%[![:space:]]*}"}
        part=${COMP_WORDS[i]}
        ((i < COMP_CWORD)) || part=$rest
        if [[ $part == [\<\>]* || $part == '&>'* ]]; then
            # The 2 of 2> is not a word.
            [[ $rest != "$line" || ${words[${#words[@]}-1]} == *[!0-9]* ]] || unset 'words[${#words[@]}-1]'
            file=next
        elif [[ $file == next || ($file && $rest == "$line") ]]; then
            file=this
        elif [[ $i -gt 0 && $rest == "$line" ]]; then
            words[${#words[@]}-1]+=$part
        else
            words+=("$part")
            file=''
        fi
        line=${rest#"$part"}
    done
}

_seedream() {
    local IFS=$' \t\n' words=() names=() rows=() file='' kept='' quoted='' program last typed answer breaks word what
    COMPREPLY=()
    _seedream_words
    # Files are completed by readline itself, which does so if there are no candidates (-o default).
    [[ ! $file ]] || return 0
    # An alias or a ~ is not the name of a program.
    program=$(type -P -- "${words[0]}") || program=seedream
    last=$((${#words[@]} - 1))
    typed=${words[last]}
    words=("${words[@]//\\/}")
    answer=$("$program" completion --list="$typed" -- "${words[@]:1:last-1}" 2>/dev/null </dev/null)
    [[ $answer != :files* ]] || return 0
    compopt +o default 2>/dev/null
    compopt -o nosort 2>/dev/null
    # Readline replaces only what follows an opening quote, or else the last : or = that separates words.
    if [[ ${typed//\\?/} == *[\"\']* ]]; then
        quoted=1 kept=${typed%[\"\']*}
        typed=$kept${typed##*[\"\']}
    else
        typed=${typed//\\/}
        breaks=${COMP_WORDBREAKS//[!:=]/}
        word=${typed##*["$breaks"]}
        [[ ! $breaks ]] || kept=${typed%"$word"}
    fi
    while IFS=$'\t' read -r word what; do
        [[ $word && $word == "$typed"* ]] || continue
        [[ $quoted || $word != *[!A-Za-z0-9_.:=/-]* ]] || printf -v word %q "$word"
        word=${word#"$kept"}
        names+=("$word")
        printf -v word '%-26s %s' "$word" "${what:+($what)}"
        rows+=("${word:0:${COLUMNS:-80}-1}")
    done <<<"$answer"
    [[ ${#names[@]} -gt 0 ]] || return 0
    COMPREPLY=("${names[@]}")
    # These types of completion show a list and insert at most what all candidates have in common.
    if [[ ${#names[@]} -gt 1 && " 63 33 64 " == *" $COMP_TYPE "* ]]; then
        # One below the other: readline makes its columns as wide as the widest row.
        printf -v word '%-*s' $((${COLUMNS:-80} / 2 + 1)) "${rows[0]}"
        COMPREPLY=("$word" "${rows[@]:1}")
    fi
}

complete -o default -F _seedream seedream apipod-seedream

# Completion of seedream for fish. The candidates come from `seedream completion --list`, which reads local
# files only.

# Sets the candidates. Fails if a file is expected: fish completes those itself.
function __seedream_ask
    set -g __seedream_candidates
    set -l words (commandline -opc)
    set -l program $words[1]
    # An alias is not the name of a program.
    command -q -- $program; or set program seedream
    command -q -- $program; or return 0
    set -l typed (commandline -ct)
    set __seedream_candidates (command $program completion --list="$typed" -- $words[2..-1] 2>/dev/null </dev/null)
    not string match -q ':files*' -- $__seedream_candidates[1]
end

complete -c seedream -n __seedream_ask -f -k -a '$__seedream_candidates'
complete -c apipod-seedream -w seedream

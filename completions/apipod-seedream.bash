# shellcheck shell=bash
# bash-completion looks for a file of the other name of the program.
source "${BASH_SOURCE[0]%/*}/seedream"

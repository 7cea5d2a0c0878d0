# shellcheck shell=bash
# Completion of seedream. Written by `python -m scripts.generate`: change that.
source "${BASH_SOURCE[0]%/*}/seedream"

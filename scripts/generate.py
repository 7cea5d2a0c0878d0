"""Writes the completion scripts and the man pages: `python -m scripts.generate`.

They are kept with the sources, so that a package and a person with a checkout have them without running
anything; a test compares them with what this would write.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from seedream_cli.commands.completion import SCRIPTS

from . import bash, fish, man, powershell, zsh
from .levels import levels
from .tree import program

ROOT = Path(__file__).parent.parent


def generated() -> Mapping[str, str]:
    """Path below the checkout → text."""
    tree = program()
    found = levels(tree)
    return {
        f"completions/{SCRIPTS['bash']}": bash.script(found),
        "completions/apipod-seedream.bash": bash.other_name(),
        f"completions/{SCRIPTS['zsh']}": zsh.script(found),
        f"completions/{SCRIPTS['fish']}": fish.script(found),
        "completions/apipod-seedream.fish": fish.other_name(),
        f"completions/{SCRIPTS['powershell']}": powershell.script(found),
        **{f"man/{name}": page for name, page in man.pages(tree, _release()).items()},
    }


def _release() -> man.Release:
    """The newest one of the changelog, so that a page changes with a version, and not with a day."""
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    [version, date] = re.findall(r"^## \[(.+)\] - (.+)$", changelog, re.MULTILINE)[0]
    return man.Release(date, version)


def main() -> None:
    files = generated()
    for folder in {(ROOT / name).parent for name in files}:
        folder.mkdir(exist_ok=True)
        for old in folder.iterdir():
            if f"{folder.name}/{old.name}" not in files:
                old.unlink()
    for name, text in files.items():
        (ROOT / name).write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()

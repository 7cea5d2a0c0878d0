"""A log as GitHub's runner reads it: which lines it folds, and what it marks a run with."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote


@dataclass(frozen=True)
class Annotation:
    properties: dict[str, str]
    lines: list[str]


def split(log: str) -> tuple[list[str], list[str]]:
    """The lines outside of groups, annotations left out, and those inside, titles included."""
    unfolded: list[str] = []
    folded: list[str] = []
    inside = False
    for line in log.splitlines():
        if line.startswith("::group::"):
            assert not inside, "groups do not nest"
            inside = True
            folded.append(line)
        elif line == "::endgroup::":
            assert inside, "nothing is open"
            inside = False
        elif inside:
            folded.append(line)
        elif not line.startswith("::error "):
            unfolded.append(line)
    assert not inside, "a group is left open"
    return unfolded, folded


def marks(log: str) -> list[Annotation]:
    """Every workflow command but those of groups has to be an error's."""
    found = []
    for line in log.splitlines():
        if not line.lstrip().startswith("::") or re.match("::(group|endgroup)::", line):
            continue
        command = re.fullmatch(r"::error ((?:[a-z]+=[^:,]*,?)+)::(.*)", line)
        assert command, line
        pairs = (pair.split("=", 1) for pair in command[1].split(","))
        found.append(
            Annotation({name: unquote(value) for name, value in pairs}, unquote(command[2]).split("\n"))
        )
    return found

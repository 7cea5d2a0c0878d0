"""Parser of logs as GitHub's runner reads them: groups and annotations."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote


@dataclass(frozen=True)
class Annotation:
    """A decoded ``::error`` command."""

    properties: dict[str, str]
    lines: list[str]


def split(log: str) -> tuple[list[str], list[str]]:
    """Return the lines outside of groups, without annotations, and those inside, with titles."""
    unfolded: list[str] = []
    folded: list[str] = []
    inside = False
    for line in log.splitlines():
        if line.startswith("::group::"):
            assert not inside, "groups do not nest"
            inside = True
            folded.append(line)
        elif line == "::endgroup::":
            assert inside, "no group is open"
            inside = False
        elif inside:
            folded.append(line)
        elif not line.startswith("::error "):
            unfolded.append(line)
    assert not inside, "a group is left open"
    return unfolded, folded


def find_annotations(log: str) -> list[Annotation]:
    """Return the annotations of a log. Any workflow command other than errors and groups is a failure."""
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

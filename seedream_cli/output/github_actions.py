"""What GitHub Actions makes of a run: annotations, folded lines in its log, and the job's summary.

Annotations and groups are lines of the log, ``::error file=…,line=…::message`` and ``::group::title``
(workflow commands, which the runner takes from stdout and stderr alike); the summary is Markdown, appended
to the file that ``GITHUB_STEP_SUMMARY`` names.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from ..text import clean, shortened
from .outcome import Annotation
from .stdio import Stderr

#: A step's summary may have 1 MiB, and nobody reads more rows than this: the others are only counted.
MOST_ROWS, MOST_BYTES = 1000, 900_000

_MARKDOWN = str.maketrans({char: f"\\{char}" for char in "\\`*_{}[]<>()#+-!|~&"})


def is_here(environment: Mapping[str, str]) -> bool:
    return environment.get("GITHUB_ACTIONS") == "true"


class Log(Stderr):
    """stderr, of which GitHub makes a log: what is on the way to the answer folds, and errors are marked."""

    def __init__(self, colour: bool, environment: Mapping[str, str]) -> None:
        super().__init__(colour=colour)
        self._environment = environment
        self._in_group = False

    def progress_line(self, text: str) -> None:
        if self._in_group:
            super().progress_line(text)
            return
        # A signal may end this anywhere: a group is closed once too often rather than left open.
        self._in_group = True
        self.line(f"::group::{_data(text)}")

    def end_progress(self) -> None:
        if self._in_group:
            self.line("::endgroup::")
            self._in_group = False

    def annotate(self, annotate: Annotation) -> None:
        self.line(_annotation(annotate, self._environment))


def _annotation(annotate: Annotation, environment: Mapping[str, str]) -> str:
    """The line of the log that shows an error on the run's page and, where it has one, at its line."""
    places = {"title": annotate.title}
    if annotate.file is not None:
        # Paths are taken from the repository's root.
        root = environment.get("GITHUB_WORKSPACE") or os.curdir
        try:
            shown = os.path.relpath(annotate.file, root)
        except ValueError:
            # On Windows, another drive's.
            shown = str(annotate.file)
        places = {"file": shown, "line": str(annotate.line), **places}
    properties = ",".join(f"{key}={_property(value)}" for key, value in places.items())
    return f"::error {properties}::{'%0A'.join(map(_data, annotate.text))}"


def table(header: Sequence[str], rows: Sequence[Sequence[str]], closing: str) -> str:
    """Markdown: a table of the rows, as many as a summary takes, and a line below it."""
    lines = [_row(header), _row(["---"] * len(header))] if rows else []
    room = MOST_BYTES
    for count, row in enumerate(rows):
        line = _row([_text(cell) for cell in row])
        room -= len(line.encode("utf-8")) + 1
        if count == MOST_ROWS or room < 0:
            lines.append(f"\nand {len(rows) - count} more")
            break
        lines.append(line)
    return "\n".join([*lines, "", _text(closing), ""])


def summarise(text: str, environment: Mapping[str, str]) -> None:
    """Add to the job's summary, where there is one. That it cannot be kept is no reason to fail."""
    if not (path := environment.get("GITHUB_STEP_SUMMARY")):
        return
    try:
        with open(path, "a", encoding="utf-8") as file:
            file.write(f"### seedream\n\n{text}\n")
    except OSError:
        return


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _text(text: str) -> str:
    """Text that Markdown shows as it is, without pictures, links and columns of its own."""
    return shortened(clean(text), 300).translate(_MARKDOWN)


def _data(text: str) -> str:
    # A command's own line ends it: clean() has left none.
    return clean(text).replace("%", "%25")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")

"""Output for GitHub Actions: annotations, folded log lines, and the job summary.

Annotations and groups are workflow commands, which the runner reads from stdout and stderr alike:
``::error file=…,line=…::message`` and ``::group::title``. The summary is Markdown, appended to the file that
``GITHUB_STEP_SUMMARY`` names.
https://docs.github.com/actions/reference/workflows-and-actions/workflow-commands
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from ..text import clean, truncate
from .outcome import Annotation
from .stdio import Stderr

#: Nobody reads more rows than this. The others are only counted.
MAX_SUMMARY_ROWS = 1000
#: GitHub's limit is 1 MiB for each step.
MAX_SUMMARY_BYTES = 900_000
#: Characters of a cell that are shown.
_MAX_CELL_LENGTH = 300

_MARKDOWN = str.maketrans({char: f"\\{char}" for char in "\\`*_{}[]<>()#+-!|~&"})


def is_active(environment: Mapping[str, str]) -> bool:
    """Return True if this program runs in a job of GitHub Actions."""
    return environment.get("GITHUB_ACTIONS") == "true"


class Log(Stderr):
    """stderr as GitHub's log: progress lines are folded, and errors become annotations."""

    def __init__(self, colour: bool, environment: Mapping[str, str]) -> None:
        super().__init__(colour=colour)
        self._environment = environment
        self._in_group = False

    def progress_line(self, text: str) -> None:
        if self._in_group:
            super().progress_line(text)
            return
        # Set before the line is printed: if a signal comes between, the group is closed once too often rather
        # than left open.
        self._in_group = True
        self.line(f"::group::{_escape_data(text)}")

    def end_progress(self) -> None:
        if self._in_group:
            self.line("::endgroup::")
            self._in_group = False

    def annotate(self, annotation: Annotation) -> None:
        self.line(_annotation_command(annotation, self._environment))


def _annotation_command(annotation: Annotation, environment: Mapping[str, str]) -> str:
    """Return the workflow command that shows an error on the run's page and at its line of a file."""
    properties = {"title": annotation.title}
    if annotation.file is not None:
        # GitHub expects paths relative to the root of the repository.
        root = environment.get("GITHUB_WORKSPACE") or os.curdir
        try:
            path = os.path.relpath(annotation.file, root)
        except ValueError:
            # On Windows: the file is on another drive.
            path = str(annotation.file)
        properties = {"file": path, "line": str(annotation.line), **properties}
    escaped = ",".join(f"{key}={_escape_property(value)}" for key, value in properties.items())
    return f"::error {escaped}::{'%0A'.join(map(_escape_data, annotation.text))}"


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]], closing: str) -> str:
    """Return a Markdown table of the rows, as many as a summary may have, and a closing line."""
    lines = [_markdown_row(header), _markdown_row(["---"] * len(header))] if rows else []
    free_bytes = MAX_SUMMARY_BYTES
    for count, row in enumerate(rows):
        line = _markdown_row([_escape_markdown(cell) for cell in row])
        free_bytes -= len(line.encode("utf-8")) + 1
        if count == MAX_SUMMARY_ROWS or free_bytes < 0:
            lines.append(f"\nand {len(rows) - count} more")
            break
        lines.append(line)
    return "\n".join([*lines, "", _escape_markdown(closing), ""])


def append_summary(text: str, environment: Mapping[str, str]) -> None:
    """Append Markdown to the job summary, if there is one. Errors of the file are ignored."""
    if not (path := environment.get("GITHUB_STEP_SUMMARY")):
        return
    try:
        with open(path, "a", encoding="utf-8") as file:
            file.write(f"### seedream\n\n{text}\n")
    except OSError:
        return


def _markdown_row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _escape_markdown(text: str) -> str:
    """Escape a text so that it cannot add pictures, links or columns to the Markdown."""
    return truncate(clean(text), _MAX_CELL_LENGTH).translate(_MARKDOWN)


def _escape_data(text: str) -> str:
    # clean() has removed line breaks, which would end the command.
    return clean(text).replace("%", "%25")


def _escape_property(text: str) -> str:
    return _escape_data(text).replace(":", "%3A").replace(",", "%2C")

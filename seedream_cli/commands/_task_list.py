"""The list of `seedream status`: whole values for programs, a screen's width for people."""

from __future__ import annotations

import time
from collections.abc import Sequence

from ..models import Operation
from ..output.table import columns, fitted, table
from ..output.text import ago, clean, short_path, shortened

#: Columns in which the beginning of a prompt says something, and an end of a path.
_LEAST_PROMPT, _LEAST_FILE = 24, 12
#: Characters of the reason why there is no image.
_MOST_WORDS = 40
_GAP = "  "
_DAY = 86400.0


def task_lines(operations: Sequence[Operation], *, width: int | None, now: float, cwd: str) -> list[str]:
    """Lines of the list; ``width`` is the screen's, None for a pipe.

    On a screen an operation has one line where all of it fits, else two: time, state and the prompt's
    beginning, then its id, which is never cut, and its file.
    """
    if width is None:
        return table([row_of(operation) for operation in operations], width=None)
    rows = [_cells(operation, now, cwd) for operation in operations]
    if not rows:
        return []
    when, state, name, prompt, file = (max(map(columns, cells)) for cells in zip(*rows, strict=True))
    least = when + state + name + min(prompt, _LEAST_PROMPT) + file + 4 * len(_GAP)
    if least <= width:
        prompt = min(prompt, width - (least - min(prompt, _LEAST_PROMPT)))
        sizes = (when, state, name, prompt, file)
        return [_line([_sized(cell, size) for cell, size in zip(row, sizes, strict=True)]) for row in rows]
    lines = []
    for row in rows:
        first = _line([_sized(row[0], when), _sized(row[1], state), row[3]])
        lines += [fitted(first, width), _second(row[2], row[4], width)]
    return lines


def row_of(operation: Operation) -> list[str]:
    """Local time, id, state, prompt, and files or why there are none to come back for."""
    created = time.strftime("%Y-%m-%d %H:%M", time.localtime(operation.created))
    prompt = operation.request.prompt if operation.request else ""
    files = ", ".join(file.path for file in operation.files)
    words = (operation.error_message or "") if operation.over else files
    return [created, operation.task_id or operation.id, operation.status, prompt, words]


def _cells(operation: Operation, now: float, cwd: str) -> tuple[str, str, str, str, str]:
    """Time, state, id, prompt, and file or why there is none to come back for, as a person reads them."""
    when, name, state, prompt, words = row_of(operation)
    age = now - operation.created
    if 0 <= age < _DAY:
        when = ago(age)
    files = [short_path(file.path, cwd) for file in operation.files]
    more = f" and {len(files) - 1} more" if len(files) > 1 else ""
    file = (files[0] + more) if files else ""
    if operation.over:
        file = shortened(" ".join(words.split()), _MOST_WORDS)
    return clean(when), clean(state), clean(name), clean(" ".join(prompt.split())), clean(file)


def _second(name: str, file: str, width: int) -> str:
    """The second line: the id, and as much of the file's end as there is room for."""
    line = _GAP + name
    room = width - columns(line) - len(_GAP)
    if not file or room < min(_LEAST_FILE, columns(file)):
        return line
    while columns(file) > room:
        file = "…" + file.removeprefix("…")[1:]
    return line + _GAP + file


def _sized(cell: str, size: int) -> str:
    cell = fitted(cell, size)
    return cell + " " * (size - columns(cell))


def _line(cells: Sequence[str]) -> str:
    return _GAP.join(cells).rstrip()

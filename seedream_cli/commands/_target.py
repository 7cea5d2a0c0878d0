"""Where images of this call are to go, and what stands there already."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InvalidOutput
from ..events import Ended, Event, Kept
from ..models import Operation, Status
from ..output.streams import is_terminal
from ._session import Session

if TYPE_CHECKING:
    from ..naming import Output


def wanted_output(run: Session) -> Output:
    """The output that the settings ask for. Raises InvalidOutput."""
    from ..naming import parse_output

    setting = run.settings.get("output")
    where = parse_output(None if setting.origin == "default" else setting.value, cwd=os.getcwd())
    if where.stdout and run.options.json:
        raise InvalidOutput("-o - and --json both want stdout")
    if where.stdout and is_terminal(sys.stdout):
        raise InvalidOutput(
            "an image's bytes are not written to a terminal", hint="seedream generate … -o - > image.png"
        )
    return where


def existing(where: Output, operation: Operation, *, overwrite: bool) -> Path | None:
    """A file that stands where an image would go, as far as that is known, and is not to be replaced."""
    from ..naming import fields_of

    for target in where.known_targets(fields_of(operation)):
        if target.is_dir() or (os.path.lexists(target) and not overwrite):
            return target
    return None


def prepare_folder(where: Output, operation: Operation) -> None:
    """Make sure that there is a folder which can be written to. Raises InvalidOutput."""
    from ..download import check_folder
    from ..naming import fields_of

    if not where.stdout:
        check_folder(where.folder(fields_of(operation)))


def kept(operation: Operation, where: Output, path: Path) -> Iterator[Event]:
    """The life of an operation that never had to begin."""
    from ..download import describe

    file = describe(path)
    skipped = replace(operation, status=Status.SKIPPED, files=(file,))
    yield Kept(skipped, file, where.shown(str(path)))
    yield Ended(skipped)

"""What else is done with an image that is on disk: drawn on the terminal, opened on the desktop.

Nothing of it is worth a failure: an image that cannot be shown is saved all the same.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

from msgspec import Struct, field

from .image_viewer import NoViewer, open_image
from .preview import NotShown, Preview
from .stdio import draws, is_terminal, silence


class ImageDisplay(Struct):
    """``preview`` and ``open`` are what was asked for. ``verbose`` tells of what is left out on purpose.

    ``shield`` gives a block that no signal interrupts.
    """

    preview: bool
    open: bool
    environment: Mapping[str, str]
    shield: Callable[[], AbstractContextManager[None]]
    verbose: bool = False
    _drawing: Preview | None = None
    _told: set[str] = field(default_factory=set)

    def show(self, file: Path) -> Iterator[str]:
        """Show one image; yields each reason why that cannot be, once."""
        for wanted, act in ((self.preview, self._draw), (self.open, self._open)):
            if wanted and (reason := act(file)) is not None and reason not in self._told:
                self._told.add(reason)
                yield reason

    def _draw(self, file: Path) -> str | None:
        if not draws(sys.stderr, self.environment):
            return "no preview: stderr is not a terminal to draw on" if self.verbose else None
        try:
            sys.stderr.flush()
            if self._drawing is None:
                self._drawing = Preview(sys.stderr, self.environment, shield=self.shield)
            self._drawing.show(file)
        except NotShown as error:
            return f"no preview: {error}"
        except OSError:
            # The terminal is gone.
            silence(sys.stderr)
        return None

    def _open(self, file: Path) -> str | None:
        if self.environment.get("CI") or not is_terminal(sys.stderr):
            return "--open is for a person: nothing is opened in CI or without a terminal"
        try:
            open_image(file, self.environment)
        except NoViewer as error:
            return f"the image is not opened: {error}"
        return None

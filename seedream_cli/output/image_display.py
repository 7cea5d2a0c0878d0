"""Display of saved images, on the terminal (--preview) and in the desktop's viewer (--open).

No error here fails the command, because the image is already saved.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

from msgspec import Struct, field

from .image_viewer import NoViewer, open_image
from .preview import NotShown, Preview
from .stdio import is_terminal, silence, supports_live_display


class ImageDisplay(Struct):
    """Display of the images of one call. ``preview`` and ``open`` are the options of these names.

    ``defer_signals`` returns a context manager within which signals are held back. With ``verbose``, a
    preview that is skipped on purpose is reported too.
    """

    preview: bool
    open: bool
    environment: Mapping[str, str]
    defer_signals: Callable[[], AbstractContextManager[None]]
    verbose: bool = False
    _preview: Preview | None = None
    _reported: set[str] = field(default_factory=set)

    def show(self, file: Path) -> Iterator[str]:
        """Show one image. Yields why it could not be shown, each reason once per call of the command."""
        for enabled, show in ((self.preview, self._draw), (self.open, self._open)):
            if enabled and (reason := show(file)) is not None and reason not in self._reported:
                self._reported.add(reason)
                yield reason

    def _draw(self, file: Path) -> str | None:
        if not supports_live_display(sys.stderr, self.environment):
            return "no preview: stderr is not a terminal to draw on" if self.verbose else None
        try:
            sys.stderr.flush()
            if self._preview is None:
                self._preview = Preview(sys.stderr, self.environment, defer_signals=self.defer_signals)
            self._preview.show(file)
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

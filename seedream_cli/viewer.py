"""The desktop's viewer of images, started and left alone."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from msgspec import Struct, field

from .settings import KEYS

#: The shell ends at once, and whoever adopts orphans waits for the viewer in its place.
_LEFT_ALONE = ("/bin/sh", "-c", '"$@" &', "sh")


class NoViewer(Exception):
    """There is nothing that would show an image; the text says why."""


#: On Windows, what opens a file with its program.
_START_FILE: Callable[[str], object] | None = getattr(os, "startfile", None)


class Desktop(Struct, frozen=True):
    """A platform (as in ``sys.platform``) and its environment: of this machine, unless said otherwise."""

    platform: str = sys.platform
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)
    start_file: Callable[[str], object] | None = _START_FILE

    def show(self, file: Path) -> None:
        """Start the viewer, and wait for nothing. Raises NoViewer."""
        # Absolute, so that no name is an option.
        path = os.path.abspath(file)
        try:
            if self.platform == "win32" and self.start_file is not None:
                self.start_file(path)
            else:
                self._start(self.program(), path)
        except OSError as error:
            raise NoViewer(f"the viewer cannot be started: {error.strerror}") from None

    def program(self) -> str:
        """The program that shows a file with what the person has chosen for its kind. Raises NoViewer."""
        if self.platform == "darwin":
            return self._found("open")
        if self.environment.get("WSL_DISTRO_NAME") and (windows := self._which("wslview")):
            return windows
        if not (self.environment.get("DISPLAY") or self.environment.get("WAYLAND_DISPLAY")):
            raise NoViewer("there is no desktop here: neither DISPLAY nor WAYLAND_DISPLAY is set")
        return self._found("xdg-open")

    def _found(self, name: str) -> str:
        if (path := self._which(name)) is None:
            raise NoViewer(f"{name} is not installed")
        return path

    def _which(self, name: str) -> str | None:
        return shutil.which(name, path=self.environment.get("PATH"))

    def _start(self, program: str, path: str) -> None:
        # It may live for days: the key is no business of its.
        keys = KEYS["api_key"].variables
        environment = {name: value for name, value in self.environment.items() if name not in keys}
        subprocess.run(  # noqa: S603 - the shell is given words, and makes no words of them
            [*_LEFT_ALONE, program, path],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,
            check=False,
        )

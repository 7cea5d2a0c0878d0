"""The desktop's viewer of images, started and left alone."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from ..settings.schema import SETTINGS

#: The shell ends at once, and whoever adopts orphans waits for the viewer in its place.
_LEFT_ALONE = ("/bin/sh", "-c", '"$@" &', "sh")


class NoViewer(Exception):
    """There is nothing that would show an image; the text says why."""


def open_image(file: Path, environment: Mapping[str, str], platform: str = sys.platform) -> None:
    """Start the viewer, and wait for nothing. Raises NoViewer."""
    # Absolute, so that no name is an option.
    path = os.path.abspath(file)
    try:
        if platform == "win32":
            # mypy knows it only on Windows.
            getattr(os, "startfile")(path)  # noqa: B009
            return
        # It may live for days: the key is no business of its.
        keys = SETTINGS["api_key"].variables
        subprocess.run(  # noqa: S603 - the shell is given words, and makes no words of them
            [*_LEFT_ALONE, viewer(environment, platform), path],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={name: value for name, value in environment.items() if name not in keys},
            start_new_session=True,
            check=False,
        )
    except OSError as error:
        raise NoViewer(f"the viewer cannot be started: {error.strerror}") from None


def viewer(environment: Mapping[str, str], platform: str) -> str:
    """Return the program that opens a file with what the person has chosen for its kind. Raises NoViewer."""
    path = environment.get("PATH")
    if environment.get("WSL_DISTRO_NAME") and (program := shutil.which("wslview", path=path)):
        return program
    name = "open" if platform == "darwin" else "xdg-open"
    if platform != "darwin" and not (environment.get("DISPLAY") or environment.get("WAYLAND_DISPLAY")):
        raise NoViewer("there is no desktop here: neither DISPLAY nor WAYLAND_DISPLAY is set")
    if program := shutil.which(name, path=path):
        return program
    raise NoViewer(f"{name} is not installed")

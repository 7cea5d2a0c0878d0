"""The image viewer of the desktop, started as a detached process."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from ..settings.schema import SETTINGS

#: The shell exits at once. The viewer is adopted by init, which reaps it.
_DETACHED = ("/bin/sh", "-c", '"$@" &', "sh")


class NoViewer(Exception):
    """No viewer can be started; the text says why."""


def open_image(file: Path, environment: Mapping[str, str], platform: str = sys.platform) -> None:
    """Start the viewer and return at once.

    Raises NoViewer if there is none or it cannot be started.
    """
    # Absolute, so that a name that begins with a hyphen is not read as an option.
    path = os.path.abspath(file)
    try:
        if platform == "win32":
            # mypy knows os.startfile only on Windows.
            getattr(os, "startfile")(path)  # noqa: B009
            return
        # The viewer may run for days and does not need the key.
        keys = SETTINGS["api_key"].variables
        subprocess.run(  # noqa: S603 - "$@" is not split or expanded
            [*_DETACHED, viewer(environment, platform), path],
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
    """Return the program that opens a file in the user's default application.

    Raises NoViewer if there is no desktop or the program is not installed.
    """
    path = environment.get("PATH")
    if environment.get("WSL_DISTRO_NAME") and (program := shutil.which("wslview", path=path)):
        return program
    name = "open" if platform == "darwin" else "xdg-open"
    if platform != "darwin" and not (environment.get("DISPLAY") or environment.get("WAYLAND_DISPLAY")):
        raise NoViewer("there is no desktop here: neither DISPLAY nor WAYLAND_DISPLAY is set")
    if program := shutil.which(name, path=path):
        return program
    raise NoViewer(f"{name} is not installed")

"""Image viewers of all desktops, simulated on this one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from seedream_cli.output.image_viewer import NoViewer, open_image, viewer

ALL = ("open", "xdg-open", "wslview")


def found(folder: Path, installed: tuple[str, ...], platform: str, environment: dict[str, str]) -> str:
    """Return the viewer if only these programs are on the PATH."""
    for name in installed:
        (folder / name).write_text("#!/bin/sh\n")
        (folder / name).chmod(0o755)
    return Path(viewer({"PATH": str(folder), **environment}, platform)).name


@pytest.mark.parametrize(
    ("installed", "platform", "environment", "expected"),
    [
        (ALL, "darwin", {}, "open"),
        (ALL, "linux", {"DISPLAY": ":0"}, "xdg-open"),
        (ALL, "linux", {"WAYLAND_DISPLAY": "wayland-0"}, "xdg-open"),
        (ALL, "freebsd14", {"DISPLAY": ":0"}, "xdg-open"),
        (ALL, "linux", {"WSL_DISTRO_NAME": "Debian", "DISPLAY": ":0"}, "wslview"),
        (("xdg-open",), "linux", {"WSL_DISTRO_NAME": "Debian", "DISPLAY": ":0"}, "xdg-open"),
    ],
)
def test_viewer_of_each_desktop(
    tmp_path: Path, installed: tuple[str, ...], platform: str, environment: dict[str, str], expected: str
) -> None:
    assert found(tmp_path, installed, platform, environment) == expected


@pytest.mark.parametrize(
    ("platform", "environment", "reason"),
    [
        ("linux", {"DISPLAY": ""}, "there is no desktop here"),
        ("linux", {"DISPLAY": ":0"}, "xdg-open is not installed"),
        ("darwin", {}, "open is not installed"),
    ],
)
def test_missing_viewer_names_reason(
    tmp_path: Path, platform: str, environment: dict[str, str], reason: str
) -> None:
    with pytest.raises(NoViewer, match=reason):
        found(tmp_path, (), platform, environment)


def test_open_image_on_windows_uses_absolute_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[str] = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "startfile", started.append, raising=False)
    open_image(Path("-fox.png"), {}, "win32")
    assert started == [str(tmp_path / "-fox.png")]


def test_open_image_on_windows_without_program(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str) -> None:
        raise OSError(1155, "No application is associated")

    monkeypatch.setattr(os, "startfile", refuse, raising=False)
    with pytest.raises(NoViewer, match="No application is associated"):
        open_image(Path("fox.png"), {}, "win32")

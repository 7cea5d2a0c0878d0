"""Which viewer a desktop has, on platforms that these tests are not on as well."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from seedream_cli.output.image_viewer import NoViewer, open_image, viewer

ALL = ("open", "xdg-open", "wslview")


def found(folder: Path, installed: tuple[str, ...], platform: str, environment: dict[str, str]) -> str:
    """The viewer where these programs are the only ones on the PATH."""
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
def test_each_desktop_has_its_program(
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
def test_a_machine_without_one_says_what_is_missing(
    tmp_path: Path, platform: str, environment: dict[str, str], reason: str
) -> None:
    with pytest.raises(NoViewer, match=reason):
        found(tmp_path, (), platform, environment)


def test_windows_opens_a_file_by_its_whole_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[str] = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "startfile", started.append, raising=False)
    open_image(Path("-fox.png"), {}, "win32")
    assert started == [str(tmp_path / "-fox.png")]


def test_a_file_that_windows_has_no_program_for_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str) -> None:
        raise OSError(1155, "No application is associated")

    monkeypatch.setattr(os, "startfile", refuse, raising=False)
    with pytest.raises(NoViewer, match="No application is associated"):
        open_image(Path("fox.png"), {}, "win32")

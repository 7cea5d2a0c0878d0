"""Which viewer a desktop has, on platforms that these tests are not on as well."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from seedream_cli.viewer import Desktop, NoViewer

Install = Callable[..., dict[str, str]]


@pytest.fixture
def install(tmp_path: Path) -> Install:
    """Makes programs of these names the only ones on a PATH; the environment that has it."""

    def install(*names: str) -> dict[str, str]:
        for name in names:
            (tmp_path / name).write_text("#!/bin/sh\n")
            (tmp_path / name).chmod(0o755)
        return {"PATH": str(tmp_path)}

    return install


def program(platform: str, environment: dict[str, str]) -> str:
    return Path(Desktop(platform, environment).program()).name


@pytest.mark.parametrize(
    ("platform", "environment", "expected"),
    [
        ("darwin", {}, "open"),
        ("linux", {"DISPLAY": ":0"}, "xdg-open"),
        ("linux", {"WAYLAND_DISPLAY": "wayland-0"}, "xdg-open"),
        ("freebsd14", {"DISPLAY": ":0"}, "xdg-open"),
        pytest.param("linux", {"WSL_DISTRO_NAME": "Debian"}, "wslview", id="WSL"),
        pytest.param("linux", {"WSL_DISTRO_NAME": "Debian", "DISPLAY": ":0"}, "wslview", id="WSLg"),
    ],
)
def test_each_desktop_has_its_program(
    install: Install, platform: str, environment: dict[str, str], expected: str
) -> None:
    assert program(platform, {**install("open", "xdg-open", "wslview"), **environment}) == expected


def test_wsl_without_wslview_is_as_linux(install: Install) -> None:
    assert (
        program("linux", {**install("xdg-open"), "WSL_DISTRO_NAME": "Debian", "DISPLAY": ":0"}) == "xdg-open"
    )


@pytest.mark.parametrize(
    ("platform", "environment", "reason"),
    [
        ("linux", {}, "there is no desktop here"),
        ("linux", {"DISPLAY": ""}, "there is no desktop here"),
        ("linux", {"DISPLAY": ":0"}, "xdg-open is not installed"),
        ("darwin", {}, "open is not installed"),
    ],
)
def test_a_machine_without_one_says_what_is_missing(
    install: Install, platform: str, environment: dict[str, str], reason: str
) -> None:
    with pytest.raises(NoViewer, match=reason):
        program(platform, {**install(), **environment})


def test_windows_opens_a_file_by_its_whole_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[str] = []
    monkeypatch.chdir(tmp_path)
    Desktop("win32", {}, start_file=started.append).show(Path("-fox.png"))
    assert started == [str(tmp_path / "-fox.png")]


def test_a_file_that_windows_has_no_program_for_is_no_failure(tmp_path: Path) -> None:
    def refuse(path: str) -> None:
        raise OSError(1155, "No application is associated")

    with pytest.raises(NoViewer, match="No application is associated"):
        Desktop("win32", {}, start_file=refuse).show(tmp_path / "fox.png")

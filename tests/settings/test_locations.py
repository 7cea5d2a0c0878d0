"""The locations of files, which are those of platformdirs."""

from __future__ import annotations

import sys

import platformdirs
import pytest

from seedream_cli.settings import locations

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="home folders have another variable there")


@pytest.mark.parametrize(
    "value", [None, "", "/x/y", "/x/y/", "/x y/%?#", "relative", "~/z", "//x", "/x/../y"]
)
@pytest.mark.parametrize("home", ["/home/me", "/home/me/", "/"])
def test_locations_match_platformdirs(monkeypatch: pytest.MonkeyPatch, home: str, value: str | None) -> None:
    monkeypatch.setenv("HOME", home)
    for variable in ("XDG_CONFIG_HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(variable, raising=False)
        if value is not None:
            monkeypatch.setenv(variable, value)
    assert locations.config_folder() == platformdirs.user_config_dir(locations.APP_NAME, appauthor=False)
    assert locations.state_folder() == platformdirs.user_state_dir(locations.APP_NAME, appauthor=False)


@pytest.mark.parametrize("home", [None, "", "relative"])
def test_locations_with_relative_home_match_platformdirs(
    monkeypatch: pytest.MonkeyPatch, home: str | None
) -> None:
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.delenv("HOME", raising=False)
    if home is not None:
        monkeypatch.setenv("HOME", home)
    assert locations.config_folder() == platformdirs.user_config_dir(locations.APP_NAME, appauthor=False)

"""A library that is missing is added by the program that installed this one."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from seedream_cli.install_hints import install_command, upgrade_command


@pytest.mark.parametrize(
    ("mark", "adds", "upgrades"),
    [
        ("pipx_metadata.json", "pipx inject seedream-2 pillow", "pipx upgrade seedream-2"),
        ("uv-receipt.toml", "uv pip install --python {} pillow", "uv tool upgrade seedream-2"),
        (
            "pyvenv.cfg",
            "pip install 'apipod-seedream[sandbox]'",
            "pip install --upgrade apipod-seedream",
        ),
    ],
    ids=["pipx", "uv", "pip"],
)
def test_each_installer_has_its_commands(
    mark: str, adds: str, upgrades: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = tmp_path / "seedream-2"
    environment.mkdir()
    (environment / mark).touch()
    monkeypatch.setattr(sys, "prefix", str(environment))
    assert install_command("sandbox") == adds.format(environment)
    assert upgrade_command() == upgrades

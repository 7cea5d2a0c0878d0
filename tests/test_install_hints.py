"""Install hints name the program that made the environment: pipx, uv or pip."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from seedream_cli.install_hints import install_command, upgrade_command


@pytest.mark.parametrize(
    ("marker", "expected_install", "expected_upgrade"),
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
def test_install_hints_use_the_installer_of_the_environment(
    marker: str, expected_install: str, expected_upgrade: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = tmp_path / "seedream-2"
    environment.mkdir()
    (environment / marker).touch()
    monkeypatch.setattr(sys, "prefix", str(environment))
    assert install_command("sandbox") == expected_install.format(environment)
    assert upgrade_command() == expected_upgrade

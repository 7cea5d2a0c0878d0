"""Every setting through the program: its option, variable, config file, project file, and its listing.

The README's table, the man pages and the completion table are compared with the settings in their own tests.
"""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from support.program import Program
from support.request_values import VALUES as REQUEST_VALUES

from scripts.tree import program
from seedream_cli.settings.schema import ALL_SETTINGS, PROFILE

#: Setting → a value that is not its default. A new setting needs one; a request field has one already.
VALUES: Mapping[str, str] = {
    "profile": "work",
    "api_key": "sk-0123456789abcdef",
    "api_key_file": "/keys/seedream.txt",
    "base_url": "https://other.test/v1",
    "output": "art/",
    "timeout": "60",
    "poll_interval": "0.5",
    "max_bytes": "1000",
    **{name: str(value) for name, value in REQUEST_VALUES.items()},
}


def display_value(name: str) -> str:
    return "…cdef" if ALL_SETTINGS[name].secret else VALUES[name]


@pytest.fixture
def program_without_settings(seedream: Program) -> Program:
    """Return the program without variables for settings, with a config file that has a profile `work`."""
    seedream.environment = {
        name: value for name, value in seedream.environment.items() if not name.startswith("SEEDREAM_")
    }
    seedream.write_config("[profiles.work]\n")
    return seedream


def listed(seedream: Program, name: str, env: Mapping[str, str] | None = None) -> tuple[str | None, str]:
    """Return the value and the origin of a setting in `config list --json`."""
    document = seedream("config", "list", "--json", env=env).document
    assert [setting["key"] for setting in document["settings"]] == list(ALL_SETTINGS)
    [setting] = [setting for setting in document["settings"] if setting["key"] == name]
    return setting["value"], setting["origin"]


@pytest.mark.parametrize("name", ALL_SETTINGS)
def test_every_setting_has_default_in_config_list(program_without_settings: Program, name: str) -> None:
    assert listed(program_without_settings, name) == (ALL_SETTINGS[name].default, "default")
    assert VALUES[name] != ALL_SETTINGS[name].default


@pytest.mark.parametrize("name", ALL_SETTINGS)
def test_every_setting_is_read_from_its_variables(program_without_settings: Program, name: str) -> None:
    for variable in ALL_SETTINGS[name].variables:
        found = listed(program_without_settings, name, env={variable: VALUES[name]})
        assert found == (display_value(name), f"environment: {variable}")


@pytest.mark.parametrize("name", ALL_SETTINGS)
def test_every_setting_is_stored_in_config_file(program_without_settings: Program, name: str) -> None:
    seedream, value = program_without_settings, VALUES[name]
    if ALL_SETTINGS[name].secret:
        seedream("config", "set", name, "-", stdin=value)
    else:
        seedream("config", "set", name, value)
    origin = str(seedream.config)
    if name != PROFILE.name:
        origin += " [profiles.default]"
    assert listed(seedream, name) == (display_value(name), origin)
    assert seedream("config", "unset", name).exit_code == 0
    assert listed(seedream, name) == (ALL_SETTINGS[name].default, "default")


@pytest.mark.parametrize("name", ALL_SETTINGS)
def test_every_setting_is_read_from_project_file_or_refused(
    program_without_settings: Program, name: str
) -> None:
    seedream = program_without_settings
    (seedream.cwd / "seedream.toml").write_text(f'[defaults]\n{name} = "{VALUES[name]}"\n')
    if ALL_SETTINGS[name].in_project:
        assert listed(seedream, name) == (display_value(name), "seedream.toml [defaults]")
    else:
        assert seedream("config", "list").exit_code == 2


def test_every_setting_has_option_unless_it_is_secret() -> None:
    [generate] = [command for command in program().walk() if command.path == ("generate",)]
    options = {option.flags[-1] for option in generate.options}
    for setting in ALL_SETTINGS.values():
        assert (f"--{setting.name.replace('_', '-')}" in options) is not setting.secret

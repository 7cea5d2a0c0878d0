"""`seedream config set api_key --keyring`, with a real keyring and without one."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Callable, Iterator

import pytest
from support.keyrings import SecretService, secret_service
from support.program import Program, Result, hint

from seedream_cli.sandbox.server import Sandbox

# The library looks for a keyring once per process.
pytestmark = pytest.mark.started

KEY = f"sk-hunter22-{secrets.token_hex(8)}"
CONFIG_WITH_KEYRING = '[profiles.default]\napi_key = {in = "keyring"}\n'

Forked = Callable[..., Result]


@pytest.fixture(scope="module")
def running() -> Iterator[SecretService]:
    with secret_service() as running:
        yield running


@pytest.fixture
def desktop(running: SecretService, seedream: Program, sandbox: Sandbox) -> SecretService:
    """Return an empty keyring that the program can use. The environment has no key."""
    running.clear()
    del seedream.environment["SEEDREAM_API_KEY"]
    seedream.environment |= running.environment
    return running


def store_keys(seedream: Program, desktop: SecretService, **keys: str) -> None:
    """Store a key for each profile, as `config set api_key --keyring` does (see the first test)."""
    seedream.write_config("".join(CONFIG_WITH_KEYRING.replace("default", profile) for profile in keys))
    for profile, key in keys.items():
        desktop.put(profile, key)


def test_key_is_stored_in_the_keyring_and_used(
    seedream: Program, forked: Forked, sandbox: Sandbox, desktop: SecretService
) -> None:
    done = seedream("config", "set", "api_key", "-", "--keyring", stdin=f"{KEY}\n")
    assert (done.exit_code, done.stdout) == (0, "")
    assert str(seedream.config) in done.stderr
    assert seedream.config.read_text() == CONFIG_WITH_KEYRING
    assert desktop.kept == {("apipod-seedream", "default"): KEY}
    checked = forked("config", "check", "--verbose")
    assert "keyring" in checked.stdout
    assert [one.headers["authorization"] for one in sandbox.requests] == [f"Bearer {KEY}"]
    listed = forked("config", "list").stdout
    assert "api_key        …  (keyring)" in listed.splitlines()
    assert "hunter22" not in done.stderr + checked.stdout + checked.stderr + listed


def test_profiles_have_separate_keys_in_the_keyring(
    seedream: Program, forked: Forked, sandbox: Sandbox, desktop: SecretService
) -> None:
    store_keys(seedream, desktop, work=KEY, default=f"{KEY}-invalid")
    refused = forked("config", "check")
    assert refused.exit_code == 4
    assert hint(refused) == ["config", "set", "api_key", "--keyring"]
    done = forked("config", "unset", "api_key", "--profile", "work")
    assert done.exit_code == 0
    assert desktop.kept == {("apipod-seedream", "default"): f"{KEY}-invalid"}
    assert seedream("config", "set", "api_key", "-", stdin=KEY).exit_code == 0
    assert desktop.kept == {}
    assert f'api_key = "{KEY}"' in seedream.config.read_text()


def test_locked_keyring_is_reported_and_nothing_is_sent(
    seedream: Program, forked: Forked, sandbox: Sandbox, desktop: SecretService
) -> None:
    store_keys(seedream, desktop, work=KEY)
    with desktop.locked():
        done = forked("generate", "fox", "--profile", "work", "--verbose")
        assert done.exit_code == 4
        assert "SEEDREAM_API_KEY" in done.stderr
        assert hint(done) == ["config", "set", "api_key", "--profile", "work"]
        kept = seedream("config", "set", "api_key", "-", "--profile", "work", stdin="sk-in-the-config")
        assert kept.exit_code == 0
        assert "keyring" in kept.stderr, "the key that was in it before is still there"
    assert sandbox.requests == []


@pytest.fixture
def headless(seedream: Program, sandbox: Sandbox) -> Program:
    """Return the program on a machine without a desktop."""
    if sys.platform != "linux":
        pytest.skip("this system always has a keyring, which would be the user's own")
    del seedream.environment["SEEDREAM_API_KEY"]
    return seedream


def test_headless_machine_rejects_keyring_before_the_prompt(headless: Program, forked: Forked) -> None:
    # The library prints a warning about this file on stderr.
    own_config = headless.config.parent.parent / "python_keyring" / "keyringrc.cfg"
    own_config.parent.mkdir(parents=True)
    own_config.write_text("[backend]\n")
    done = forked("config", "set", "api_key", "--keyring", "--profile", "work")
    assert done.exit_code == 2
    assert len(done.stderr.splitlines()) == 3
    assert "SEEDREAM_API_KEY" in done.stderr
    assert hint(done) == ["config", "set", "api_key", "--profile", "work"]
    # Only a key can be stored in the keyring.
    assert forked("config", "set", "model", "x", "--keyring").exit_code == 2
    assert not headless.config.exists()


def test_headless_machine_reports_a_key_in_the_keyring(
    headless: Program, forked: Forked, sandbox: Sandbox
) -> None:
    headless.write_config(CONFIG_WITH_KEYRING)
    done = forked("generate", "fox")
    assert done.exit_code == 4
    assert hint(done) == ["config", "set", "api_key"]
    assert sandbox.requests == []
    # Commands that need no key do not use the keyring.
    assert forked("generate", "fox", "--dry-run").exit_code == 0
    assert forked("config", "list").exit_code == 0
    assert forked("generate", "fox", env={"SEEDREAM_API_KEY": KEY}).exit_code == 0
    assert forked("config", "unset", "api_key").exit_code == 2
    assert headless.config.read_text() == CONFIG_WITH_KEYRING

"""`seedream config set api_key --keyring`, with a real keyring and without any."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Callable, Iterator

import pytest
from support.keyrings import SecretService, secret_service
from support.program import Program, Result, hint

from seedream_cli.sandbox.server import Sandbox

#: The library looks for a keyring once in a process.
pytestmark = pytest.mark.started

KEY = f"sk-hunter22-{secrets.token_hex(8)}"
MARKED = '[profiles.default]\napi_key = {in = "keyring"}\n'

Forked = Callable[..., Result]


@pytest.fixture(scope="module")
def running() -> Iterator[SecretService]:
    with secret_service() as running:
        yield running


@pytest.fixture
def desktop(running: SecretService, seedream: Program, sandbox: Sandbox) -> SecretService:
    """An empty keyring; the program knows a service, and no key but what is in its config."""
    running.clear()
    del seedream.environment["SEEDREAM_API_KEY"]
    seedream.environment |= running.environment
    return running


def keep(seedream: Program, desktop: SecretService, **keys: str) -> None:
    """As `config set api_key --keyring` does for each profile, which the first test holds."""
    seedream.config.parent.mkdir(parents=True)
    seedream.config.write_text("".join(MARKED.replace("default", profile) for profile in keys))
    seedream.config.chmod(0o600)
    for profile, key in keys.items():
        desktop.put(profile, key)


def test_a_key_is_kept_in_the_desktops_keyring_and_used(
    seedream: Program, forked: Forked, sandbox: Sandbox, desktop: SecretService
) -> None:
    done = seedream("config", "set", "api_key", "-", "--keyring", stdin=f"{KEY}\n")
    assert (done.exit_code, done.stdout) == (0, "")
    assert str(seedream.config) in done.stderr
    assert seedream.config.read_text() == MARKED
    assert desktop.kept == {("apipod-seedream", "default"): KEY}
    checked = forked("config", "check", "--verbose")
    assert "keyring" in checked.stdout
    assert [one.headers["authorization"] for one in sandbox.requests] == [f"Bearer {KEY}"]
    listed = forked("config", "list").stdout
    assert "api_key        …  (keyring)" in listed.splitlines()
    assert "hunter22" not in done.stderr + checked.stdout + checked.stderr + listed


def test_each_profile_has_its_own_and_gives_it_up(
    seedream: Program, forked: Forked, sandbox: Sandbox, desktop: SecretService
) -> None:
    keep(seedream, desktop, work=KEY, default=f"{KEY}-invalid")
    refused = forked("config", "check")
    assert refused.exit_code == 4
    assert hint(refused) == ["config", "set", "api_key", "--keyring"]
    done = forked("config", "unset", "api_key", "--profile", "work")
    assert done.exit_code == 0
    assert desktop.kept == {("apipod-seedream", "default"): f"{KEY}-invalid"}
    assert seedream("config", "set", "api_key", "-", stdin=KEY).exit_code == 0
    assert desktop.kept == {}
    assert f'api_key = "{KEY}"' in seedream.config.read_text()


def test_a_keyring_that_nobody_unlocks_is_told_and_sends_nothing(
    seedream: Program, forked: Forked, sandbox: Sandbox, desktop: SecretService
) -> None:
    keep(seedream, desktop, work=KEY)
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
    """A machine without a desktop."""
    if sys.platform != "linux":
        pytest.skip("this system always has a keyring: it would be the person's own")
    del seedream.environment["SEEDREAM_API_KEY"]
    return seedream


def test_a_headless_machine_refuses_before_a_key_is_asked_for(headless: Program, forked: Forked) -> None:
    # Of which the library itself complains on stderr.
    own_config = headless.config.parent.parent / "python_keyring" / "keyringrc.cfg"
    own_config.parent.mkdir(parents=True)
    own_config.write_text("[backend]\n")
    done = forked("config", "set", "api_key", "--keyring", "--profile", "work")
    assert done.exit_code == 2
    assert len(done.stderr.splitlines()) == 3
    assert "SEEDREAM_API_KEY" in done.stderr
    assert hint(done) == ["config", "set", "api_key", "--profile", "work"]
    # Only a key is kept in a keyring.
    assert forked("config", "set", "model", "x", "--keyring").exit_code == 2
    assert not headless.config.exists()


def test_a_config_that_came_to_a_headless_machine(
    headless: Program, forked: Forked, sandbox: Sandbox
) -> None:
    headless.config.parent.mkdir(parents=True)
    headless.config.write_text(MARKED)
    headless.config.chmod(0o600)
    done = forked("generate", "fox")
    assert done.exit_code == 4
    assert hint(done) == ["config", "set", "api_key"]
    assert sandbox.requests == []
    # What needs no key asks no keyring.
    assert forked("generate", "fox", "--dry-run").exit_code == 0
    assert forked("config", "list").exit_code == 0
    assert forked("generate", "fox", env={"SEEDREAM_API_KEY": KEY}).exit_code == 0
    assert forked("config", "unset", "api_key").exit_code == 2
    assert headless.config.read_text() == MARKED

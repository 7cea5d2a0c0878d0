"""A profile's key is in the config or in the desktop's keyring: never in both, and never left behind."""

from __future__ import annotations

from pathlib import Path

import keyring
import pytest
from support.keyrings import Backend

from seedream_cli.errors import KeyringError, KeyringUnusable, MalformedKey, UsageError
from seedream_cli.settings import config_edit
from seedream_cli.settings.config_edit import set_value
from seedream_cli.settings.resolve import Settings

MARKED = '[profiles.default]\napi_key = {in = "keyring"}\n'


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "config.toml"


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> Backend:
    backend = Backend()
    monkeypatch.setattr(keyring, "get_keyring", lambda: backend)
    return backend


def key(config: Path, profile: str | None = None, **environment: str) -> str:
    return Settings(environment, config.parent, config, profile).api_key(str)


def test_a_key_in_the_keyring_is_only_marked_in_the_config(config: Path, backend: Backend) -> None:
    config_edit.store_key_in_keyring(config, "default", "sk-one")
    config_edit.store_key_in_keyring(config, "work", "sk-work")
    assert config.read_text() == MARKED + '\n[profiles.work]\napi_key = {in = "keyring"}\n'
    assert (key(config), key(config, "work")) == ("sk-one", "sk-work")
    config_edit.store_key_in_keyring(config, "default", "sk-two")
    assert key(config) == "sk-two"


def test_a_key_that_moves_leaves_none_behind(config: Path, backend: Backend) -> None:
    set_value(config, "default", "api_key", "sk-one")
    config_edit.store_key_in_keyring(config, "default", "sk-two")
    assert config.read_text() == MARKED
    assert config_edit.store_key_in_config(config, "default", "sk-three") is None
    assert config.read_text() == '[profiles.default]\napi_key = "sk-three"\n'
    assert backend.kept == {}
    assert key(config) == "sk-three"


def test_a_forgotten_key_is_nowhere(config: Path, backend: Backend) -> None:
    config_edit.store_key_in_keyring(config, "default", "sk-one")
    config_edit.store_key_in_keyring(config, "work", "sk-work")
    assert config_edit.remove_key(config, "default")
    assert backend.kept == {("apipod-seedream", "work"): "sk-work"}
    assert not config_edit.remove_key(config, "default")
    # Somebody was faster, in the keyring's own window.
    backend.kept.clear()
    assert config_edit.remove_key(config, "work")
    assert "keyring" not in config.read_text()


def test_a_keyring_that_fails_changes_nothing_and_keeps_no_key_out_of_the_config(
    config: Path, backend: Backend
) -> None:
    set_value(config, "default", "api_key", "sk-one")
    backend.error = OSError("gone")
    with pytest.raises(KeyringError, match="gone"):
        config_edit.store_key_in_keyring(config, "default", "sk-two")
    assert key(config) == "sk-one"
    backend.error = None
    config_edit.store_key_in_keyring(config, "default", "sk-one")
    backend.error = OSError("gone")
    # A key that cannot be forgotten stays marked.
    with pytest.raises(KeyringError, match=r"the API key is not removed: .*gone") as refused:
        config_edit.remove_key(config, "default")
    assert refused.value.hint is None
    assert config.read_text() == MARKED
    assert "gone" in str(config_edit.store_key_in_config(config, "default", "sk-two"))
    assert key(config) == "sk-two"


def test_a_config_that_cannot_be_written_leaves_no_key_in_the_keyring(config: Path, backend: Backend) -> None:
    set_value(config, "default", "api_key", "sk-one")
    config.chmod(0o400)
    with pytest.raises(UsageError, match="read-only"):
        config_edit.store_key_in_keyring(config, "default", "sk-two")
    assert backend.kept == {}
    assert key(config) == "sk-one"


def test_without_a_mark_the_keyring_is_not_touched(config: Path, backend: Backend) -> None:
    backend.error = AssertionError("the keyring was asked")
    set_value(config, "default", "api_key", "sk-one")
    assert key(config) == "sk-one"
    assert config_edit.store_key_in_config(config, "default", "sk-two") is None
    assert config_edit.remove_key(config, "default")


def test_with_a_mark_the_keyring_is_touched_only_for_its_key(config: Path, backend: Backend) -> None:
    config_edit.store_key_in_keyring(config, "default", "sk-one")
    backend.error = AssertionError("the keyring was asked")
    assert key(config, SEEDREAM_API_KEY="sk-environment") == "sk-environment"
    settings = Settings({}, config.parent, config)
    shown = settings.get("api_key")
    assert (shown.shown, shown.origin) == ("…", "keyring")
    assert settings.key_place == ("api_key", "keyring")
    assert len(list(settings.list())) > 10


def test_a_key_that_the_keyring_does_not_give(config: Path, backend: Backend) -> None:
    config.write_text(MARKED)
    with pytest.raises(KeyringUnusable, match="'default' is not in the desktop's keyring") as missing:
        key(config)
    assert (missing.value.exit_code, missing.value.code) == (4, "missing_api_key")
    assert missing.value.hint == "seedream config set api_key --keyring"
    backend.kept["apipod-seedream", "default"] = "sk hunter22"
    with pytest.raises(MalformedKey, match="in the desktop's keyring is malformed") as malformed:
        key(config)
    assert "hunter22" not in f"{malformed.value!r}{malformed.value.__cause__}"
    backend.error = OSError("gone")
    with pytest.raises(KeyringUnusable, match="gone") as unusable:
        key(config)
    assert (unusable.value.exit_code, unusable.value.code) == (4, "keyring_unusable")


@pytest.mark.parametrize("value", ["{}", '{in = "file"}', '{in = "keyring", of = "work"}', "[]"])
def test_another_mark_is_refused(config: Path, value: str) -> None:
    config.write_text(f"[profiles.default]\napi_key = {value}\n")
    with pytest.raises(UsageError, match="api_key is neither text nor"):
        key(config)

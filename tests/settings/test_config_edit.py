"""Edits of the config file, and the API key in the file or in the keyring."""

from __future__ import annotations

import os
import resource
import secrets
import signal
import stat
import threading
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import keyring
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.keyrings import Backend

from seedream_cli.errors import KeyringError, KeyringUnusable, MalformedKey, UsageError
from seedream_cli.settings.config_edit import (
    remove_key,
    set_value,
    store_key_in_config,
    store_key_in_keyring,
    unset_value,
)
from seedream_cli.settings.resolve import Settings

WRITTEN_BY_HAND = """\
# my profiles
profile = "work"   # the usual one

[profiles.work]
# cheap
quality = "2K" # for now
model = "seedream-v4.5"

[styles]
ink = "black ink on rice paper"

[profiles.home]
timeout = 300
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "config.toml"


@pytest.fixture
def by_hand(config: Path) -> Path:
    config.parent.mkdir()
    config.write_text(WRITTEN_BY_HAND)
    return config


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o777], ids=oct)
def test_config_edit_creates_private_file(tmp_path: Path, umask: int) -> None:
    config = tmp_path / "above" / "folder" / "config.toml"
    before = os.umask(umask)
    try:
        set_value(config, "default", "model", "x")
    finally:
        os.umask(before)
    assert (mode(config), mode(config.parent), mode(config.parent.parent)) == (0o600, 0o700, 0o700)
    assert config.read_text() == '[profiles.default]\nmodel = "x"\n'


@pytest.mark.parametrize("umask", [0o000, 0o777], ids=oct)
def test_config_edit_keeps_file_private_while_writing(
    config: Path, monkeypatch: pytest.MonkeyPatch, umask: int
) -> None:
    modes: list[int] = []

    def fsync(descriptor: int) -> None:
        modes.extend(mode(path) for path in config.parent.iterdir())

    monkeypatch.setattr(os, "fsync", fsync)
    real_open, real_mkdir = os.open, os.mkdir

    def mkdir(path: Path, initial_mode: int = 0o777) -> None:
        assert initial_mode == 0o700
        real_mkdir(path, initial_mode)

    def open_(path: Path, flags: int, initial_mode: int = 0o777) -> int:
        # A later chmod would not help against someone who opens the file at once.
        if flags & os.O_CREAT:
            modes.append(initial_mode & 0o077 | 0o600)
        return real_open(path, flags, initial_mode)

    monkeypatch.setattr(os, "open", open_)
    monkeypatch.setattr(os, "mkdir", mkdir)
    before = os.umask(umask)
    try:
        set_value(config, "default", "api_key", "sk-test-0123456789")
    finally:
        os.umask(before)
    assert modes == [0o600, 0o600]


@pytest.mark.parametrize("target_exists", [True, False])
def test_config_edit_does_not_follow_symlink_at_temporary_name(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target_exists: bool
) -> None:
    precious = tmp_path / "precious.txt"
    if target_exists:
        precious.write_text("do not touch")
    config.parent.mkdir()
    # The name is random, so that nobody can prepare a link there.
    monkeypatch.setattr(secrets, "token_hex", lambda count: "0" * 2 * count)
    (config.parent / ".config.toml.00000000.part").symlink_to(precious)
    with pytest.raises(UsageError, match="File exists"):
        set_value(config, "default", "api_key", "sk-test-0123456789")
    assert not config.exists()
    assert precious.exists() is target_exists
    assert not target_exists or precious.read_text() == "do not touch"


def test_config_edit_keeps_comments_and_order_and_makes_file_private(by_hand: Path) -> None:
    by_hand.chmod(0o644)
    set_value(by_hand, "work", "quality", "4K")
    changed = WRITTEN_BY_HAND.replace('"2K"', '"4K"')
    assert (by_hand.read_text(), mode(by_hand)) == (changed, 0o600)
    unset_value(by_hand, "work", "model")
    assert by_hand.read_text() == changed.replace('model = "seedream-v4.5"\n', "")


def test_config_edit_refuses_read_only_file(by_hand: Path) -> None:
    with pytest.raises(UsageError, match=r"no profile 'hom' in .*did you mean 'home'"):
        set_value(by_hand, "default", "profile", "hom")
    by_hand.chmod(0o400)
    with pytest.raises(UsageError, match="is read-only") as refused:
        set_value(by_hand, "work", "quality", "4K")
    assert refused.value.hint == f"chmod u+w {by_hand}"
    assert not unset_value(by_hand, "work", "timeout")
    assert (by_hand.read_text(), mode(by_hand)) == (WRITTEN_BY_HAND, 0o400)


#: Valid TOML in unusual formatting.
UNUSUAL = """\
   # a comment that stands in


profile="work"
[ profiles . work ]   # spaces in a header
\tmodel   =   'a'\t# a tab before it
  "timeout"=3_00
quality = \"""
2K\"""
[profiles.'two words']
output = "x/{slug}.{ext}"    \t

[styles]
  ink = \"\"\"
 black ink,
   on rice paper\"\"\"

[profiles.home]
max_bytes = 0x10"""


@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=["", "with a byte order mark"])
@pytest.mark.parametrize("ending", ["\n", "\r\n"], ids=["as here", "as on Windows"])
def test_config_edit_keeps_other_bytes(config: Path, ending: str, mark: str) -> None:
    def holds(text: str) -> bool:
        return config.read_bytes() == (mark + text.replace("\n", ending)).encode()

    config.parent.mkdir()
    config.write_bytes((mark + UNUSUAL.replace("\n", ending)).encode())
    assert holds(UNUSUAL)
    set_value(config, "work", "timeout", 60)
    changed = UNUSUAL.replace("3_00", "60")
    assert holds(changed)
    set_value(config, "two words", "model", "b")
    changed = changed.replace('{ext}"    \t\n', '{ext}"    \t\nmodel = "b"\n')
    assert holds(changed)
    assert unset_value(config, "work", "model")
    changed = changed.replace("\tmodel   =   'a'\t# a tab before it\n", "")
    assert holds(changed)
    set_value(config, "default", "profile", "two words")
    changed = changed.replace('profile="work"', 'profile="two words"')
    assert holds(changed)
    set_value(config, "home", "quality", "4K")
    assert holds(f'{changed}\nquality = "4K"\n')


@pytest.mark.parametrize("text", ["# mine\n", None])
def test_config_edit_keeps_symlink(config: Path, tmp_path: Path, text: str | None) -> None:
    real = tmp_path / "dotfiles" / "seedream.toml"
    if text is not None:
        real.parent.mkdir()
        real.write_text(text)
    config.parent.mkdir()
    config.symlink_to(real)
    set_value(config, "default", "model", "x")
    assert config.is_symlink()
    assert real.read_text() == (f"{text}\n" if text else "") + '[profiles.default]\nmodel = "x"\n'


@pytest.mark.parametrize("text", ["", WRITTEN_BY_HAND])
def test_config_edit_concurrent_changes_are_all_kept(config: Path, text: str) -> None:
    if text:
        config.parent.mkdir()
        config.write_text(text)
    names = [f"profile {number}" for number in range(8)]
    together = threading.Barrier(len(names), timeout=20)

    def change(name: str) -> None:
        together.wait()
        set_value(config, name, "model", name)

    with ThreadPoolExecutor(len(names)) as pool:
        list(pool.map(change, names))
    found = tomllib.loads(config.read_text())["profiles"]
    assert {name: found.pop(name)["model"] for name in names} == {name: name for name in names}
    assert found == tomllib.loads(text).get("profiles", {})
    assert os.listdir(config.parent) == ["config.toml"]


def test_config_edit_keeps_change_written_meanwhile(by_hand: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = os.fsync

    def meanwhile(descriptor: int) -> None:
        written(descriptor)
        if "4K" not in by_hand.read_text():
            by_hand.write_text(WRITTEN_BY_HAND.replace('"2K"', '"4K"'))

    monkeypatch.setattr(os, "fsync", meanwhile)
    set_value(by_hand, "home", "timeout", 60)
    assert by_hand.read_text() == WRITTEN_BY_HAND.replace('"2K"', '"4K"').replace("300", "60")
    assert os.listdir(by_hand.parent) == ["config.toml"]


def test_config_edit_sets_profile_at_top(config: Path) -> None:
    config.parent.mkdir()
    for before, after in {
        "": 'profile = "default"\n',
        "# mine\n[profiles.work]\n": '# mine\nprofile = "default"\n\n[profiles.work]\n',
        WRITTEN_BY_HAND: WRITTEN_BY_HAND.replace('"work"', '"default"'),
    }.items():
        config.write_text(before)
        set_value(config, "default", "profile", "default")
        assert config.read_text() == after
        assert unset_value(config, "default", "profile")
        assert "profile = " not in config.read_text()
        assert not unset_value(config, "default", "profile")


def test_config_edit_unset_of_missing_setting_changes_nothing(config: Path) -> None:
    assert not unset_value(config, "default", "model")
    assert not config.parent.exists()
    config.parent.mkdir()
    config.write_text(WRITTEN_BY_HAND)
    before = config.stat()
    assert not unset_value(config, "work", "timeout")
    assert not unset_value(config, "nowhere", "timeout")
    assert (config.stat().st_ino, config.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


@pytest.mark.parametrize(
    "content",
    [
        *(b"a = = 3\n", b"\xff\n", b"profiles = 3\n", b"[profiles]\ndefault = 3\n", b"[profilse.x]\n"),
        # A key that a new table would capture; deep nesting, deeper nesting; a long dotted key.
        b'profiles.work.model = "x"\nprofile = "work"\n',
        b"[profiles.default]\nx = " + b"[" * 150 + b"]" * 150 + b"\n",
        pytest.param(b"[styles]\nx = " + b"[" * 100_000, id="too many levels"),
        b"styles" + b".a" * 150 + b" = 1\n",
    ],
)
def test_config_edit_refuses_file_it_cannot_change_without_loss(config: Path, content: bytes) -> None:
    config.parent.mkdir()
    config.write_bytes(content)
    with pytest.raises(UsageError, match=r"config\.toml"):
        set_value(config, "default", "model", "x")
    if len(content) < 30:
        with pytest.raises(UsageError, match=r"config\.toml"):
            unset_value(config, "default", "model")
    assert config.read_bytes() == content
    assert os.listdir(config.parent) == ["config.toml"]


def test_config_edit_refuses_unwritable_value(config: Path, tmp_path: Path) -> None:
    for profile, value in (("default", "caf\udce9"), ("caf\udce9", "x")):
        with pytest.raises(UsageError, match="not valid Unicode"):
            set_value(config, profile, "model", value)
    assert not config.parent.exists()
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"config\.toml cannot be (read|written): Not a directory"):
        set_value(tmp_path / "file" / "config.toml", "default", "model", "x")


def test_config_edit_failed_write_keeps_old_file(by_hand: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (16, limits[1]))
    try:
        with pytest.raises(UsageError, match="cannot be written: File too large"):
            set_value(by_hand, "work", "quality", "4K")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    assert by_hand.read_text() == WRITTEN_BY_HAND
    assert os.listdir(by_hand.parent) == ["config.toml"]


SHAPES = [
    "",
    "# only a comment",
    "\ufeffprofile = 'work'\n",
    "[profiles]\n",
    'profiles = {default = {model = "x"}}\n',
    'profiles.default.model = "x"\n',
    '[profiles]\ndefault.model = "x"\n',
    '[profiles]\ndefault = {model = "x"}\n',
    WRITTEN_BY_HAND,
]


@given(
    shape=st.sampled_from(SHAPES),
    profile=st.sampled_from(["default", "work", "a.b", "two words", "ünï", '"', "#"]) | st.text(min_size=1),
    value=st.text() | st.integers(-(2**62), 2**62) | st.floats(allow_nan=False),
)
def test_config_edit_round_trip(
    tmp_path_factory: pytest.TempPathFactory, shape: str, profile: str, value: str | int | float
) -> None:
    config = tmp_path_factory.getbasetemp() / "hypothesis.toml"
    config.write_text(shape, encoding="utf-8")
    before = tomllib.loads(shape.removeprefix("\ufeff"))
    profiles = before.get("profiles", {})
    set_value(config, profile, "api_key", value)
    changed = {**profiles.get(profile, {}), "api_key": value}
    assert tomllib.loads(config.read_text("utf-8-sig")) == {
        **before,
        "profiles": {**profiles, profile: changed},
    }
    assert unset_value(config, profile, "api_key")
    left = {**profiles, profile: profiles.get(profile, {})}
    assert tomllib.loads(config.read_text("utf-8-sig")) == {**before, "profiles": left}


# The API key, in the config file or in the keyring

MARKED = '[profiles.default]\napi_key = {in = "keyring"}\n'


@pytest.fixture
def config_file(tmp_path: Path) -> Path:
    return tmp_path / "config.toml"


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> Backend:
    backend = Backend()
    monkeypatch.setattr(keyring, "get_keyring", lambda: backend)
    return backend


def key(config_file: Path, profile: str | None = None, **environment: str) -> str:
    return Settings(environment, config_file.parent, config_file, profile).api_key(str)


def test_store_key_in_keyring_leaves_marker_in_config(config_file: Path, backend: Backend) -> None:
    store_key_in_keyring(config_file, "default", "sk-one")
    store_key_in_keyring(config_file, "work", "sk-work")
    assert config_file.read_text() == MARKED + '\n[profiles.work]\napi_key = {in = "keyring"}\n'
    assert (key(config_file), key(config_file, "work")) == ("sk-one", "sk-work")
    store_key_in_keyring(config_file, "default", "sk-two")
    assert key(config_file) == "sk-two"


def test_store_key_moves_it_between_config_and_keyring(config_file: Path, backend: Backend) -> None:
    set_value(config_file, "default", "api_key", "sk-one")
    store_key_in_keyring(config_file, "default", "sk-two")
    assert config_file.read_text() == MARKED
    assert store_key_in_config(config_file, "default", "sk-three") is None
    assert config_file.read_text() == '[profiles.default]\napi_key = "sk-three"\n'
    assert backend.kept == {}
    assert key(config_file) == "sk-three"


def test_remove_key_from_config_and_keyring(config_file: Path, backend: Backend) -> None:
    store_key_in_keyring(config_file, "default", "sk-one")
    store_key_in_keyring(config_file, "work", "sk-work")
    assert remove_key(config_file, "default")
    assert backend.kept == {("apipod-seedream", "work"): "sk-work"}
    assert not remove_key(config_file, "default")
    # The key was already removed with the keyring's own program.
    backend.kept.clear()
    assert remove_key(config_file, "work")
    assert "keyring" not in config_file.read_text()


def test_store_key_with_failing_keyring_changes_nothing(config_file: Path, backend: Backend) -> None:
    set_value(config_file, "default", "api_key", "sk-one")
    backend.error = OSError("gone")
    with pytest.raises(KeyringError, match="gone"):
        store_key_in_keyring(config_file, "default", "sk-two")
    assert key(config_file) == "sk-one"
    backend.error = None
    store_key_in_keyring(config_file, "default", "sk-one")
    backend.error = OSError("gone")
    # The marker stays for a key that cannot be removed.
    with pytest.raises(KeyringError, match=r"the API key is not removed: .*gone") as refused:
        remove_key(config_file, "default")
    assert refused.value.hint is None
    assert config_file.read_text() == MARKED
    assert "gone" in str(store_key_in_config(config_file, "default", "sk-two"))
    assert key(config_file) == "sk-two"


def test_store_key_with_unwritable_config_leaves_keyring_empty(config_file: Path, backend: Backend) -> None:
    set_value(config_file, "default", "api_key", "sk-one")
    config_file.chmod(0o400)
    with pytest.raises(UsageError, match="read-only"):
        store_key_in_keyring(config_file, "default", "sk-two")
    assert backend.kept == {}
    assert key(config_file) == "sk-one"


def test_keyring_is_not_used_without_marker(config_file: Path, backend: Backend) -> None:
    backend.error = AssertionError("the keyring was used")
    set_value(config_file, "default", "api_key", "sk-one")
    assert key(config_file) == "sk-one"
    assert store_key_in_config(config_file, "default", "sk-two") is None
    assert remove_key(config_file, "default")


def test_keyring_is_used_only_for_marked_key(config_file: Path, backend: Backend) -> None:
    store_key_in_keyring(config_file, "default", "sk-one")
    backend.error = AssertionError("the keyring was used")
    assert key(config_file, SEEDREAM_API_KEY="sk-environment") == "sk-environment"
    settings = Settings({}, config_file.parent, config_file)
    setting = settings.get("api_key")
    assert (setting.display_value, setting.origin) == ("…", "keyring")
    assert settings.api_key_source == ("api_key", "keyring")
    assert len(list(settings.list())) > 10


def test_api_key_missing_from_keyring(config_file: Path, backend: Backend) -> None:
    config_file.write_text(MARKED)
    with pytest.raises(KeyringUnusable, match="'default' is not in the desktop's keyring") as missing:
        key(config_file)
    assert (missing.value.exit_code, missing.value.code) == (4, "missing_api_key")
    assert missing.value.hint == "seedream config set api_key --keyring"
    backend.kept["apipod-seedream", "default"] = "sk hunter22"
    with pytest.raises(MalformedKey, match="in the desktop's keyring is malformed") as malformed:
        key(config_file)
    assert "hunter22" not in f"{malformed.value!r}{malformed.value.__cause__}"
    backend.error = OSError("gone")
    with pytest.raises(KeyringUnusable, match="gone") as unusable:
        key(config_file)
    assert (unusable.value.exit_code, unusable.value.code) == (4, "keyring_unusable")


@pytest.mark.parametrize("value", ["{}", '{in = "file"}', '{in = "keyring", of = "work"}', "[]"])
def test_config_refuses_unknown_marker(config_file: Path, value: str) -> None:
    config_file.write_text(f"[profiles.default]\napi_key = {value}\n")
    with pytest.raises(UsageError, match="api_key is neither text nor"):
        key(config_file)

"""Sources of settings, their precedence, and how the API key is found."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from seedream_cli.errors import MalformedKey, MissingKey, UsageError
from seedream_cli.request_fields import REQUEST_FIELDS
from seedream_cli.settings.resolve import Settings, fingerprint, service_of
from seedream_cli.settings.schema import SETTINGS

#: Setting → its value from a flag, the environment, a project file and a profile.
VALUES: dict[str, tuple[Any, Any, Any, Any]] = {
    "api_key": ("sk-flag", "sk-environment", "sk-project", "sk-profile"),
    "api_key_file": ("flag.txt", "environment.txt", "project.txt", "profile.txt"),
    "base_url": ("https://flag.test", "https://env.test", "https://project.test", "https://profile.test"),
    "output": ("flag/", "environment/", "project/", "profile/"),
    "timeout": (1.0, 2.0, 3.0, 4.5),
    "poll_interval": (1.0, 2.0, 3.0, 4.5),
    "max_bytes": (1, 2, 3, 4),
    **{
        name: (1, 2, 3, 4) if field.type is int else ("flag", "environment", "project", "profile")
        for name, field in REQUEST_FIELDS.items()
    },
}

Make = Callable[..., Settings]


@pytest.fixture
def resolve(tmp_path: Path) -> Make:
    """Return a function that resolves settings from files, variables and flags."""

    def make(
        config: str = "",
        project: str = "",
        environment: dict[str, str] | None = None,
        flags: dict[str, str | None] | None = None,
        profile: str | None = None,
    ) -> Settings:
        if config:
            (tmp_path / "config.toml").write_text(config, encoding="utf-8")
        if project:
            (tmp_path / "seedream.toml").write_text(project, encoding="utf-8")
        return Settings(environment or {}, tmp_path, tmp_path / "config.toml", profile, flags or {})

    return make


def no_stdin() -> str:
    raise AssertionError("stdin was read without being asked to")


def toml(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)


@pytest.mark.parametrize("name", SETTINGS)
def test_setting_precedence(resolve: Make, tmp_path: Path, name: str) -> None:
    flag, environment, project, profile = VALUES[name]
    variable = f"SEEDREAM_{name.upper()}"
    everything: dict[str, Any] = {
        "config": f"[profiles.default]\n{name} = {toml(profile)}\n",
        "project": f"[defaults]\n{name} = {toml(project)}\n" if SETTINGS[name].in_project else "",
        "environment": {variable: str(environment)},
        "flags": {name: str(flag)},
    }

    def resolved() -> tuple[Any, str]:
        setting = resolve(**everything).get(name)
        return setting.value, setting.origin

    assert resolved() == (flag, "flag")
    everything["flags"] = {name: None}
    assert resolved() == (environment, f"environment: {variable}")
    everything["environment"] = {variable: ""}
    if SETTINGS[name].in_project:
        assert resolved() == (project, "seedream.toml [defaults]")
        (tmp_path / "seedream.toml").unlink()
        everything["project"] = ""
    assert resolved() == (profile, f"{tmp_path / 'config.toml'} [profiles.default]")
    (tmp_path / "config.toml").unlink()
    everything["config"] = ""
    default = SETTINGS[name].default
    assert resolved() == (None if default is None else SETTINGS[name].parse(default), "default")


@pytest.mark.parametrize(
    ("environment", "flagged", "key"),
    [
        # The service's own variable can hold the key too.
        ({"APIPOD_API_KEY": "sk-theirs"}, False, "sk-theirs"),
        ({"APIPOD_API_KEY": "sk-theirs", "SEEDREAM_API_KEY": "sk-ours"}, False, "sk-ours"),
        # The key in a file wins if the origin of the file's name is stronger.
        ({"SEEDREAM_API_KEY": "sk-env"}, True, "sk-file"),
        ({"SEEDREAM_API_KEY": "two words"}, True, "sk-file"),
        ({"SEEDREAM_API_KEY_FILE": "{file}"}, False, "sk-file"),
        ({"SEEDREAM_API_KEY_FILE": "{file}", "SEEDREAM_API_KEY": "sk-env"}, False, "sk-env"),
    ],
)
def test_api_key_precedence(
    resolve: Make, tmp_path: Path, environment: dict[str, str], flagged: bool, key: str
) -> None:
    file = tmp_path / "key.txt"
    file.write_text("sk-file")
    given = {name: value.replace("{file}", str(file)) for name, value in environment.items()}
    flags: dict[str, str | None] = {"api_key_file": str(file)} if flagged else {}
    config = '[profiles.default]\napi_key = "sk-config"\n'
    assert resolve(config, environment=given, flags=flags).api_key(no_stdin) == key


def test_api_key_file_is_stripped(resolve: Make, tmp_path: Path) -> None:
    file = tmp_path / "key.txt"
    for content in (b"sk-file", b"\r\n sk-file \r\n", b"\xef\xbb\xbfsk-file\r\n"):
        file.write_bytes(content)
        assert resolve(flags={"api_key_file": str(file)}).api_key(no_stdin) == "sk-file"
    for name in ("-", "/dev/stdin"):
        assert resolve(flags={"api_key_file": name}).api_key(lambda: "sk-stdin\n") == "sk-stdin"


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"sk two", b"sk-\xc3\xa9\n", b"sk-one\nsk-two\n", b"sk-\xff"]
)
def test_api_key_file_malformed_key_is_not_shown(resolve: Make, tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "key.txt"
    file.write_bytes(content)
    why = "is no text" if b"\xff" in content else r"in the file \(--api-key-file\) is malformed"
    with pytest.raises(MalformedKey, match=why) as refused:
        resolve(flags={"api_key_file": str(file)}).api_key(no_stdin)
    assert "sk-" not in refused.value.message


def test_api_key_given_as_file_name_is_not_shown(resolve: Make, tmp_path: Path) -> None:
    named = resolve(environment={"SEEDREAM_API_KEY_FILE": "sk-hunter22-0123456789"})
    with pytest.raises(MissingKey, match="cannot be read: No such file") as missing:
        named.api_key(no_stdin)
    assert "sk-" not in missing.value.message
    assert "SEEDREAM_API_KEY_FILE" in missing.value.message
    assert named.get("api_key_file").display_value == "…6789"
    (tmp_path / "a-file-that-is-there.txt").touch()
    for path in ("keys/mine", "/run/secrets/seedream", str(tmp_path / "a-file-that-is-there.txt"), "-"):
        assert resolve(environment={"SEEDREAM_API_KEY_FILE": path}).get("api_key_file").display_value == path


def test_api_key_missing_names_ways_to_set_it(resolve: Make) -> None:
    ways = r"SEEDREAM_API_KEY.*--api-key-file.*store one.*--sandbox"
    with pytest.raises(MissingKey, match=ways) as missing:
        resolve().api_key(no_stdin)
    assert missing.value.hint == "seedream config set api_key"


def test_api_key_malformed_is_not_shown(resolve: Make) -> None:
    variable = {"SEEDREAM_API_KEY": "sk-hunter22\n"}
    for settings in (resolve(environment=variable), resolve('[profiles.default]\napi_key = "sk hunter22"\n')):
        with pytest.raises(MalformedKey) as refused:
            settings.api_key(no_stdin)
        assert "hunter22" not in f"{refused.value}{refused.value.detail}{refused.value.hint}"


def test_api_key_is_masked(resolve: Make) -> None:
    keys = {"sk-0123456789abcdef": "…cdef", "0123456789abcdef": "…cdef", "0123456789abcde": "…", "x": "…"}
    for key, shown in keys.items():
        assert resolve(environment={"SEEDREAM_API_KEY": key}).get("api_key").display_value == shown
    # Numbers are not masked.
    for text in ("300", "0.05", "1234567.5"):
        assert resolve(environment={"SEEDREAM_TIMEOUT": text}).get("timeout").display_value == text


PROFILES = """
profile = "work"
[profiles.default]
model = "of-default"
[profiles.work]
model = "of-work"
[profiles.home]
model = "of-home"
"""


@pytest.mark.parametrize(
    ("variable", "flag", "model"),
    [
        (None, None, "of-work"),
        ("", None, "of-work"),
        ("home", None, "of-home"),
        ("home", "default", "of-default"),
    ],
)
def test_profile_precedence(resolve: Make, variable: str | None, flag: str | None, model: str) -> None:
    environment = {} if variable is None else {"SEEDREAM_PROFILE": variable}
    assert resolve(PROFILES, environment=environment, profile=flag).value("model") == model


def test_profile_unknown(resolve: Make) -> None:
    assert resolve(profile="default").value("model") == SETTINGS["model"].default
    with pytest.raises(UsageError, match=r"no profile 'wrok' in .*config\.toml; did you mean 'work'"):
        resolve(PROFILES, profile="wrok").value("model")


def test_project_dir_sets_output(resolve: Make) -> None:
    setting = resolve(project='[defaults]\ndir = "art/"\n').get("output")
    assert (setting.value, setting.origin) == ("art/", "seedream.toml [defaults]")
    both = resolve(project='[defaults]\ndir = "art"\noutput = "x.png"\n[images.fox]\nprompt = "a fox"\n')
    assert both.value("output") == "x.png"
    assert both.value("model") == SETTINGS["model"].default


@pytest.mark.parametrize(
    ("project", "words"),
    [
        ("[defaults\n", r"seedream\.toml is not valid TOML: .*line 1"),
        ("defaults = 3\n", r"seedream\.toml \[defaults\] is not a table"),
        ("[defaults]\nqualty = '2K'\n", r"seedream\.toml \[defaults\]: no setting .* did you mean 'quality'"),
        # A project must not choose the API key or where it is sent.
        *[
            (f'[defaults]\n{key.name} = "https://evil.example"\n', rf"\[defaults\]: {key.name} is not read")
            for key in SETTINGS.values()
            if not key.in_project
        ],
        *[
            (f"[defaults]\ndir = {value}\n", r"\[defaults\]: dir is not the name of a folder")
            for value in ('""', "3", "false", '["art"]')
        ],
    ],
)
def test_project_file_refused(resolve: Make, project: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        resolve(project=project).value("output")


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ("[profiles.default\n", r"config\.toml is not valid TOML: .*line 1"),
        ("profile = 'x'\n\n[profiles.default]\nmodel =\n", r"config\.toml is not valid TOML: .*line 4"),
        (f"[profiles.default]\nmax_bytes = {'9' * 5000}\n", r"config\.toml is not valid TOML"),
        (
            "[profiles.default]\nmodle = 'x'\n",
            r"config\.toml: no setting is called 'modle'; did you mean 'model'",
        ),
        ("[profile.default]\nmodel = 'x'\n", "profile in .* is not a name"),
        ("[profils.default]\nmodel = 'x'\n", "nothing is called 'profils'; did you mean 'profile"),
        ("model = 'x'\n", r"model stands outside of a profile: it belongs below \[profiles\.default\]"),
        ("profiles = 3\n", "profiles are tables"),
        ("[profiles]\ndefault = 3\n", "profiles are tables"),
        ("profile = 3\n", "profile in .* is not a name"),
        ("profile = ''\n", "profile in .* is not a name"),
        ("[profiles.default]\nmodel = ['x']\n", "model is neither text nor a number"),
        ("[profiles.default]\ntimeout = true\n", "timeout is neither text nor a number"),
        ("[profiles.default]\nmodel = 2026-01-01\n", "model is neither text nor a number"),
        (f"[profiles.default]\nmax_bytes = 0x{'f' * 5000}\n", "max_bytes is too large a number"),
        (f"x = {'[' * 100_000}", r"config\.toml is not valid TOML"),
        (f"x = {'{a=' * 50_000}", r"config\.toml is not valid TOML"),
    ],
)
def test_config_file_refused(resolve: Make, config: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        resolve(config).value("model")


#: Parts of config files, and text that breaks parsers.
PIECES = st.lists(
    st.sampled_from(
        [
            *("profile", "profiles", "styles", "default", "work", "defaults", "dir", *SETTINGS),
            *("=", ".", "[", "]", "[[", "]]", "{", "}", ",", "#", "\n", "\n", "\n", " ", "_"),
            *('"', "'", '"""', "\\u0000", "\\ud800", "\x00", "\x1b", "\r", "\u202e", "é", "\ufeff"),
            *("1", "-1", "1e999", "nan", "inf", f"0x{'f' * 5000}", "9" * 5000, "true", "07:32:00", '"x"'),
            *("[profiles.default]\n", "[defaults]\n", "api_key = ", "profile = ", "timeout = ", "output = "),
        ]
    ),
    max_size=14,
).map(lambda pieces: "".join(pieces).encode("utf-8", "surrogatepass"))


@given(PIECES | st.binary(max_size=60))
@example(b"[profiles.default]\nmax_bytes = 0x" + b"f" * 5000)
@example(b"[defaults]\nmax_bytes = 0x" + b"f" * 5000)
@example(b"x = " + b"[" * 5000)
def test_config_file_with_any_content(content: bytes) -> None:
    with TemporaryDirectory() as folder:
        for name in ("config.toml", "seedream.toml"):
            (Path(folder) / name).write_bytes(content)
            for key in SETTINGS:
                with suppress(UsageError, MalformedKey):
                    shown = Settings({}, Path(folder), Path(folder) / "config.toml").get(key).display_value
                    assert shown is None or isinstance(shown, str)
            (Path(folder) / name).unlink()


def test_config_file_encodings_of_windows_editors(resolve: Make, tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_bytes(b'\xef\xbb\xbf[profiles.default]\r\nmodel = "x"\r\n')
    assert resolve().value("model") == "x"
    config.write_bytes(b'[profiles.default]\nmodel = "\xff"\n')
    with pytest.raises(UsageError, match=r"config\.toml is not valid TOML"):
        resolve().value("model")
    config.unlink()
    config.mkdir()
    with pytest.raises(UsageError, match=r"config\.toml cannot be read: Is a directory"):
        resolve().value("model")


def test_config_file_numbers_as_numbers_or_text(resolve: Make) -> None:
    for value in ('"300"', "300", "300.0"):
        assert resolve(f"[profiles.default]\ntimeout = {value}\n").value("timeout") == 300.0


@pytest.mark.parametrize(
    ("given", "name", "words"),
    [
        ({"flags": {"timeout": "2m"}}, "timeout", "--timeout: '2m' is not a number of seconds"),
        ({"environment": {"SEEDREAM_TIMEOUT": "2m"}}, "timeout", "environment: SEEDREAM_TIMEOUT: '2m'"),
        (
            {"config": "[profiles.default]\ntimeout='2m'"},
            "timeout",
            r"config\.toml \[profiles\.default\]: '2m'",
        ),
        ({"environment": {"SEEDREAM_OUTPUT": "{slgu}.png"}}, "output", "SEEDREAM_OUTPUT: .*unknown field"),
    ],
)
def test_setting_error_names_origin(resolve: Make, given: Any, name: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        resolve(**given).value(name)


def test_config_file_readable_by_others_gives_notice(tmp_path: Path) -> None:
    folder = tmp_path / "Application Support"
    folder.mkdir()
    config = folder / "config.toml"
    config.touch(mode=0o600)
    settings = Settings({}, tmp_path, config)
    assert settings.notices == ()
    config.chmod(0o640)
    [notice] = Settings({}, tmp_path, config).notices
    assert notice.endswith(f"readable by others: chmod 600 '{config}'")


API = "https://api.apipod.ai/v1"


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        *[(API, same, True) for same in ("HTTPS://API.APIPOD.AI/v1", f"{API}/")],
        ("http://127.0.0.1:1234/sandbox/v1", "http://localhost:9/sandbox/v1", True),
        ("http://127.0.0.1:1234/sandbox/v1", "http://[::1]:9/sandbox/v1/", True),
        *[(API, f"https://api.apipod.ai{other}", False) for other in ("/v2", ":8443/v1", "/V1")],
        ("http://127.0.0.1:1234/v1", "http://127.0.0.1:1234/sandbox/v1", False),
        ("https://api.apipod.ai/sandbox/v1", "http://127.0.0.1/sandbox/v1", False),
    ],
)
def test_service_of_equal_base_urls(one: str, other: str, is_same: bool) -> None:
    assert (service_of(one) == service_of(other)) is is_same


def test_fingerprint_of_api_keys() -> None:
    assert fingerprint("sk-one") == fingerprint("sk-one") != fingerprint("sk-two")
    assert "sk-one" not in fingerprint("sk-one")

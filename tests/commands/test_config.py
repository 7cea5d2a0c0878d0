"""`seedream config`: the commands that show, change and check settings, and never print a key."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from support.program import Program, Result
from support.raw import answer
from support.starting import StartRaw, StartSandbox
from support.terminal import Terminal

from seedream_cli.sandbox.server import Sandbox
from seedream_cli.settings.schema import ALL_SETTINGS

KEY = "sk-hunter22-0123456789"


@pytest.fixture
def config(seedream: Program) -> Callable[..., Result]:
    """Return a function that runs `seedream config` without variables for settings."""
    seedream.environment = {
        name: value for name, value in seedream.environment.items() if not name.startswith("SEEDREAM_")
    }

    def run(*arguments: str, stdin: str = "", **environment: str) -> Result:
        return seedream("config", *arguments, stdin=stdin, env=environment)

    return run


Config = Callable[..., Result]


@contextmanager
def unchanged(seedream: Program) -> Iterator[None]:
    """Write a config file, and assert that the block does not change it."""
    seedream.write_config('[profiles.default]\nmodel = "seedream-v4.5" # mine\n')
    before = seedream.config.read_bytes()
    yield
    assert seedream.config.read_bytes() == before


def test_config_list_prints_value_and_origin_of_every_setting(config: Config, seedream: Program) -> None:
    config("set", "quality", "4K")
    (seedream.cwd / "seedream.toml").write_text('[defaults]\naspect_ratio = "16:9"\n')
    done = config("list", SEEDREAM_MODEL="seedream-5.0-lite", SEEDREAM_TIMEOUT="")
    rows = {line.split()[0]: line for line in done.stdout.splitlines()}
    assert list(rows) == list(ALL_SETTINGS)
    assert rows["model"].endswith("seedream-5.0-lite  (environment: SEEDREAM_MODEL)")
    assert rows["aspect_ratio"].endswith("16:9  (seedream.toml [defaults])")
    assert rows["quality"].endswith(f"4K  ({seedream.config} [profiles.default])")
    assert rows["timeout"].endswith("120  (default)")
    assert rows["callback_url"].endswith("-  (default)")
    assert (done.exit_code, done.stderr) == (0, "")


def test_config_list_prints_styles_with_origin(config: Config, seedream: Program) -> None:
    config("set", "quality", "4K")
    with seedream.config.open("a") as file:
        file.write('[styles]\nink = "in ink"\nnoir = "film noir"\n')
    (seedream.cwd / "seedream.toml").write_text('[styles]\nink = "brush and ink"\n')
    lines = config("list").stdout.splitlines()[len(ALL_SETTINGS) :]
    assert [line.split("  ") for line in map(" ".join, map(str.split, lines))] == [
        ["styles.ink brush and ink (seedream.toml [styles])"],
        [f"styles.noir film noir ({seedream.config} [styles])"],
    ]
    assert config("list", "--json").document["styles"][0] == {
        "name": "ink",
        "value": "brush and ink",
        "origin": "seedream.toml [styles]",
    }


@pytest.mark.parametrize("text", ["[styles]\nink = ' '", '[defaults]\nprofile = "work"\n'])
def test_config_list_rejects_invalid_project_settings(config: Config, seedream: Program, text: str) -> None:
    (seedream.cwd / "seedream.toml").write_text(text)
    assert config("list").exit_code == 2


def test_config_get_prints_the_value_in_effect(config: Config) -> None:
    config("set", "timeout", "300")
    assert config("get", "timeout").stdout == "300\n"
    assert config("get", "timeout", SEEDREAM_TIMEOUT="7.5").stdout == "7.5\n"
    assert config("get", "aspect-ratio").stdout == "1:1\n"
    assert config("get", "timeout", "--json", SEEDREAM_TIMEOUT="7.5").document == {
        "key": "timeout",
        "value": "7.5",
        "origin": "environment: SEEDREAM_TIMEOUT",
        "error": None,
    }


def test_config_get_of_an_unset_setting_prints_nothing(config: Config) -> None:
    done = config("get", "callback_url")
    assert (done.exit_code, done.stdout) == (0, "")
    assert "callback_url" in done.stderr


def test_config_path_prints_the_path(config: Config, seedream: Program) -> None:
    assert config("path").stdout == f"{seedream.config}\n"
    assert config("path", "--json").document == {"path": str(seedream.config), "error": None}


def test_config_set_creates_a_private_file(config: Config, seedream: Program) -> None:
    done = config("set", "quality", "4K")
    assert (done.exit_code, done.stdout) == (0, "")
    assert str(seedream.config) in done.stderr
    assert stat.S_IMODE(seedream.config.stat().st_mode) == 0o600
    assert stat.S_IMODE(seedream.config.parent.stat().st_mode) == 0o700
    assert seedream.config.read_text() == '[profiles.default]\nquality = "4K"\n'
    assert config("set", "quality", "2K", "--quiet").stderr == ""
    assert config("set", "quality", "2K", "--json").document == {
        "path": str(seedream.config),
        "key": "quality",
        "error": None,
    }


@pytest.mark.parametrize(
    ("name", "value", "stored"),
    [
        ("timeout", "2.5", "2.5"),
        ("max_bytes", "1000", "1000"),
        ("base-url", "http://localhost:1/v1", '"http://localhost:1/v1"'),
        ("output", "art/{slug}.{ext}", '"art/{slug}.{ext}"'),
        ("model", "红狐", '"红狐"'),
    ],
)
def test_config_set_value_is_returned_by_get(
    config: Config, seedream: Program, name: str, value: str, stored: str
) -> None:
    assert config("set", name, value).exit_code == 0
    assert f" = {stored}\n" in seedream.config.read_text(encoding="utf-8")
    assert config("get", name).stdout == f"{value}\n"
    assert config("set", name, "-", stdin=f"{value}\n").exit_code == 0
    assert config("get", name).stdout == f"{value}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        *("aspect_ratio 5:4", "quality 8K", "timeout 2m", "poll_interval 0", "max_bytes 1.5"),
        "output {slgu}.png",
        *("model a\udcffb", "base_url http://api.apipod.ai", "base_url https://u:p@api.apipod.ai"),
        # A style, a missing value, and an unknown setting.
        *("styles.film grainy", "model", "modle x", f"api_key_file {KEY}"),
        # A key on the command line.
        *(f"api_key {KEY}", f"api-key {KEY}", f"api_key={KEY}", f"--api-key {KEY}"),
    ],
)
def test_config_set_rejects_invalid_values_and_prints_no_key(
    config: Config, seedream: Program, arguments: str
) -> None:
    with unchanged(seedream):
        done = config("set", *arguments.split())
        document = config("set", *arguments.split(), "--json").document
    assert (done.exit_code, list(document), document["error"]["exit_code"]) == (2, ["error"], 2)
    assert "hunter22" not in done.stdout + done.stderr + json.dumps(document)
    if arguments == "modle x":
        assert document["error"]["code"] == "unknown_setting"
        assert "'model'" in document["error"]["message"]
    if arguments.startswith("api_key_file"):
        assert "seedream config set api_key\n" in done.stderr


def test_config_set_stores_an_absolute_path_of_the_key_file(config: Config, seedream: Program) -> None:
    (seedream.cwd / "key.txt").touch()
    assert config("set", "api_key_file", "key.txt").exit_code == 0
    assert config("get", "api_key_file").stdout == f"{seedream.cwd / 'key.txt'}\n"


def test_config_set_reads_the_key_from_stdin(config: Config, seedream: Program) -> None:
    assert config("set", "api_key", "-", stdin=f"  {KEY}\n").exit_code == 0
    assert f'api_key = "{KEY}"' in seedream.config.read_text()
    assert config("get", "api_key").stdout == "…6789\n"


@pytest.mark.parametrize("stdin", ["", "sk two", "sk-hunter22\nsk-second\n", "sk-ключ"])
def test_config_set_rejects_a_malformed_key_and_does_not_print_it(
    config: Config, seedream: Program, stdin: str
) -> None:
    with unchanged(seedream):
        done = config("set", "api_key", "-", stdin=stdin)
        # Without a terminal, there is no prompt for a key.
        without_terminal = config("set", "api_key", stdin=f"{KEY}\n")
    assert (done.exit_code, without_terminal.exit_code) == (2, 2)
    assert not [word for word in ("two", "hunter", "ключ") if word in done.stderr]
    assert "seedream config set api_key -" in without_terminal.stderr


def test_config_set_reads_the_key_from_a_terminal_without_echo(config: Config, seedream: Program) -> None:
    with Terminal(seedream, "config", "set", "api_key", columns=200) as terminal:
        terminal.screen_until(lambda screen: "API key" in screen)
        terminal.send(f"{KEY}\n".encode())
        done = terminal.result()
    assert done.exit_code == 0
    assert b"hunter22" not in done.raw
    assert str(seedream.config) in done.lines[-1]
    assert config("get", "api_key").stdout == "…6789\n"


@pytest.mark.parametrize(("typed", "exit_code"), [(b"\n", 2), (b"\x03", 130)])
def test_config_set_key_prompt_can_be_cancelled(seedream: Program, typed: bytes, exit_code: int) -> None:
    with unchanged(seedream), Terminal(seedream, "config", "set", "api_key") as terminal:
        terminal.screen_until(lambda screen: "API key" in screen)
        terminal.send(typed)
        done = terminal.result()
    assert done.exit_code == exit_code


def test_config_unset_removes_a_setting(config: Config, seedream: Program) -> None:
    config("set", "quality", "4K")
    done = config("unset", "quality")
    assert done.exit_code == 0
    assert str(seedream.config) in done.stderr
    assert config("get", "quality").stdout == "2K\n"
    # Removing a setting that is not set is not an error.
    assert config("unset", "quality", "--json").document == {
        "key": "quality",
        "removed": False,
        "error": None,
    }
    assert not (seedream.config.exists() and "quality" in seedream.config.read_text())


def test_config_commands_can_repair_an_invalid_config(config: Config, seedream: Program) -> None:
    seedream.write_config('profile = "gone"\n[profiles.work]\ntimeout = "2m"\n')
    assert "'gone'" in config("list").stderr
    assert config("set", "profile", "work").exit_code == 0
    assert config("list").exit_code == 2
    assert config("unset", "timeout").exit_code == 0
    assert config("list").exit_code == 0


def test_profiles_are_separate_and_can_be_selected(config: Config, seedream: Program) -> None:
    assert config("get", "profile", "--json").document == {
        "key": "profile",
        "value": "default",
        "origin": "default",
        "error": None,
    }
    config("set", "model", "mine")
    config("set", "model", "theirs", "--profile", "work")
    assert config("get", "model").stdout == "mine\n"
    assert config("get", "model", SEEDREAM_PROFILE="work").stdout == "theirs\n"
    assert config("set", "profile", "work").exit_code == 0
    assert config("get", "model").stdout == "theirs\n"
    assert config("list").stdout.splitlines()[0].split() == ["profile", "work", f"({seedream.config})"]
    named = config("get", "profile", "--json", SEEDREAM_PROFILE="default").document
    assert named["origin"] == "environment: SEEDREAM_PROFILE"
    assert config("get", "profile", "--profile", "default", "--json").document["origin"] == "flag"
    assert config("unset", "profile").exit_code == 0
    assert config("get", "profile").stdout == "default\n"
    assert config("unset", "profile").exit_code == 0
    config("unset", "model", "--profile", "work")
    assert config("get", "model").stdout == "mine\n"


def test_config_set_reports_a_variable_that_takes_precedence(config: Config) -> None:
    done = config("set", "model", "x", SEEDREAM_MODEL="y")
    assert "SEEDREAM_MODEL" in done.stderr.splitlines()[-1]
    assert config("set", "profile", "default", SEEDREAM_PROFILE="default").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("get", "styles.film"), "unknown_setting"),
        (("list", "--profile", "wrok"), "unknown_profile"),
        (("nope",), "usage"),
    ],
)
def test_config_error_document_has_no_tasks(config: Config, arguments: tuple[str, ...], code: str) -> None:
    config("set", "model", "x", "--profile", "work")
    done = config(*arguments, "--json")
    assert (done.exit_code, list(done.document)) == (2, ["error"])
    assert (done.document["error"]["code"], done.document["error"]["exit_code"]) == (code, 2)
    assert ("'work'" in done.document["error"]["message"]) is (code == "unknown_profile")


@pytest.mark.parametrize("name", ["api_key", "api_key_file", "base_url"])
def test_project_settings_cannot_change_key_or_base_url(
    seedream: Program, sandbox: Sandbox, start_raw: StartRaw, name: str
) -> None:
    elsewhere = start_raw(answer(500))
    (seedream.cwd / "seedream.toml").write_text(f'[defaults]\n{name} = "{elsewhere.base_url}"\n')
    done = seedream("generate", "a fox")
    assert done.exit_code == 2
    assert name in done.stderr
    assert sandbox.requests == []
    assert elsewhere.requests == []


@pytest.mark.parametrize(
    ("arguments", "environment"),
    [
        ((), {"APIPOD_API_KEY": KEY, "SEEDREAM_API_KEY": ""}),
        ((), {"SEEDREAM_API_KEY_FILE": "key.txt"}),
        (("--api-key-file", "key.txt"), {"SEEDREAM_API_KEY": "another"}),
        (("--api-key-file", "/dev/stdin"), {"SEEDREAM_API_KEY": "another"}),
        (("--profile", "work"), {}),
    ],
)
def test_key_of_any_origin_is_sent_and_never_printed(
    seedream: Program, start_sandbox: StartSandbox, arguments: tuple[str, ...], environment: dict[str, str]
) -> None:
    sandbox = start_sandbox()
    (seedream.cwd / "key.txt").write_text(f"{KEY}\n")
    seedream.write_config(f'[profiles.work]\napi_key = "{KEY}"\n')
    env = {"SEEDREAM_BASE_URL": sandbox.base_url, **environment}
    stdin = f"{KEY}\n" if "/dev/stdin" in arguments else ""
    done = seedream("config", "check", "--verbose", *arguments, stdin=stdin, env=env)
    assert done.exit_code == 0, done.stderr
    assert [one.headers["authorization"] for one in sandbox.requests] == [f"Bearer {KEY}"]
    assert "HTTP 200" in done.stderr
    assert "hunter22" not in done.stdout + done.stderr


def test_config_check_prints_key_origin_and_account(seedream: Program, sandbox: Sandbox) -> None:
    done = seedream("config", "check")
    assert done.exit_code == 0
    service, key, *account = done.stdout.splitlines()
    assert sandbox.base_url in service
    assert "SEEDREAM_API_KEY" in key
    assert account
    document = seedream("config", "check", "--json").document
    assert document["check"]["base_url"] == sandbox.base_url
    assert document["check"]["key"] == {"setting": "api_key", "origin": "environment: SEEDREAM_API_KEY"}
    assert document["check"]["account"]
    assert document["error"] is None


@pytest.mark.parametrize("body", [b"", b"OK", b'{"code": 200, "data": null}'])
def test_config_check_depends_on_the_http_status_only(
    seedream: Program, start_raw: StartRaw, body: bytes
) -> None:
    """The body of the response is not documented."""
    seedream.use(start_raw(answer(200, body)).base_url)
    assert seedream("config", "check").exit_code == 0


def test_hint_for_a_rejected_key_depends_on_its_origin(seedream: Program, start_raw: StartRaw) -> None:
    server = start_raw(answer(401))
    seedream.use(server.base_url)
    assert "unset SEEDREAM_API_KEY && seedream config set api_key" in seedream("config", "check").stderr
    del seedream.environment["SEEDREAM_API_KEY"]
    seedream("config", "set", "api_key", "-", "--profile", "work", stdin="sk-0123456789")
    stderr = seedream("config", "check", "--profile", "work").stderr
    assert stderr.splitlines()[-1] == "  seedream config set api_key --profile work"

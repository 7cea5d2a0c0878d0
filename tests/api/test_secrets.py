"""The API key appears in no output and no file, whatever command is run and whatever the server sends."""

from __future__ import annotations

import base64
import functools
import json
import secrets
import signal
from collections.abc import Callable, Iterable
from pathlib import Path
from urllib.parse import quote

import pytest
from support.echoing import COMMANDS, echo_replies
from support.images import png
from support.keyrings import secret_service
from support.program import Program
from support.raw import Exchange, accepted, answer, success
from support.starting import StartRaw, StartSandbox

from seedream_cli.sandbox.server import Sandbox

pytestmark = pytest.mark.usefixtures("no_pauses")

KEY = "sk-canary-4f9d2c7be1"
#: A key that looks different in each encoding.
ODD_KEY = 'sk-odd/4f+9d=2c"7b\\e1&'
#: Number of characters that identify a part of a key. The last four are shown on purpose.
PART = 10


@functools.cache
def forms(key: str) -> set[bytes]:
    """Return the key, and its parts, in all encodings that the search looks for."""
    plain = {key, quote(key, safe=""), json.dumps(key)[1:-1], json.dumps(json.dumps(key)[1:-1])[1:-1]}
    parts = {form[start : start + PART] for form in plain for start in range(len(form) - PART + 1)}
    whole = {before + key.encode() for before in (b"", b"Bearer ", b"Bearer", b"x", b"xx")}
    # The text before the key shifts its base64.
    encoded = {base64.b64encode(text)[4:24] for text in whole}
    return {part.encode() for part in parts} | encoded | {key.encode().hex().encode()}


def shows(data: bytes | str, key: str = KEY) -> list[bytes]:
    content = data.encode("utf-8", "surrogateescape") if isinstance(data, str) else data
    return [form for form in forms(key) if form in content]


def written(seedream: Program) -> dict[Path, bytes]:
    home = Path(seedream.environment["HOME"])
    return {path: path.read_bytes() for path in home.rglob("*") if path.is_file()}


def holding(seedream: Program, key: str = KEY) -> list[Path]:
    """Return the files whose content or name has the key."""
    return [
        path for path, content in written(seedream).items() if shows(content, key) or shows(str(path), key)
    ]


def test_key_search_finds_all_forms() -> None:
    for key in (KEY, ODD_KEY):
        assert shows(f"no: {key}.", key)
        assert shows(key[:12], key)
        assert shows(quote(f"/?key={key}"), key)
        assert shows(json.dumps({"message": json.dumps({"key": key})}), key)
        assert shows(base64.b64encode(f"Bearer {key}".encode()), key)
        assert not shows("sk-canary sk-odd/ …7be1", key)


# Servers that repeat the key


SERVERS = [(KEY, name) for name in echo_replies(KEY)]
SERVERS += [(ODD_KEY, name) for name in ("403 about the balance", "a redirect", "a task")]


@pytest.mark.parametrize(("key", "name"), SERVERS)
def test_key_repeated_by_server_is_written_nowhere(
    seedream: Program, start_raw: StartRaw, key: str, name: str
) -> None:
    server = start_raw(*echo_replies(key)[name])
    seedream.use(server.base_url, key=key)
    # One poll, whose response may take as long as the interval.
    seedream.environment |= {"SEEDREAM_TIMEOUT": "0", "SEEDREAM_POLL_INTERVAL": "5"}
    output = ""
    for command in COMMANDS:
        done = seedream(*command)
        output += done.stdout + done.stderr
        assert shows(done.raw, key) == [], command
        assert shows(done.stderr, key) == [], command
        assert "Traceback" not in done.stderr
    assert holding(seedream, key) == []
    # The response was read, except where it is not valid HTTP.
    assert ("***" in output) is (name not in ("no HTTP", "a reason"))
    # The key was sent to the API, so the search was for the right text.
    assert {request.headers["authorization"] for request in server.requests} == {f"Bearer {key}"}


# Every command

DAY = """
generate fox -v -o fox.png
generate fox -v -o fox.png
generate fox -v -o foxes/
generate fox -v -o {task}.{ext}
generate fox -v --json
generate fox -q
generate fox -v --no-wait
generate fox --dry-run
generate fox -v --dry-run --json
generate fox -v --model none --callback-url https://a.test/
generate fox -v -o fox.png --skip-existing
generate fox -v -o fox.png --overwrite --max-bytes 5
generate --resume last -v
generate --resume last -v --new-key
generate --resume op_nowhere -v
generate fox -v --sandbox
generate fox -v --base-url http://127.0.0.1:1/v1
generate fox -v --base-url http://api.test/v1
generate fox -v --sandbox --base-url http://127.0.0.1:1/v1
generate fox --nope
status -v
status -v --json --limit 3 --state completed
status nowhere -v
status --sandbox -v
download --pending -v
download nowhere -v --json
download -v
config list
config path --json -v
config check
config list --json -v
config check --json -v
config get api_key -v
config get api_key_file -v
config get nope -v
config set model seedream-v4.5 -v
config unset model -v
config set api_key -v
config list --profile nope
sandbox --fault nope -v
completion --list= -- status
completion --list= -- generate --resume
completion --list= -- generate --profile
--help
config --help
nope
"""


def give_key(seedream: Program, place: str) -> list[Path]:
    """Store the key in this place, and return the files in the home folder that hold it."""
    seedream.environment.pop("SEEDREAM_API_KEY", None)
    if place == "file":
        # Outside the home folder, which is searched.
        file = seedream.cwd.parent.parent / "key.txt"
        file.write_text(f"{KEY}\n")
        seedream.environment["SEEDREAM_API_KEY_FILE"] = str(file)
    else:
        stored = seedream("config", "set", "api_key", "-", "--verbose", stdin=f"{KEY}\n")
        assert (stored.exit_code, shows(stored.stdout + stored.stderr)) == (0, [])
        return [seedream.config]
    return []


@pytest.mark.slow
@pytest.mark.parametrize("place", ["file", "config"])
def test_key_is_written_nowhere_by_any_command(
    seedream: Program, start_sandbox: StartSandbox, place: str
) -> None:
    # Without pauses, any rate limit would be exceeded all the time, and sometimes until the retries end.
    sandbox = start_sandbox(rate=0)
    seedream.use(sandbox.base_url)
    expected = give_key(seedream, place)
    codes = set()
    for command in DAY.strip().splitlines():
        done = seedream(*command.split())
        codes.add(done.exit_code)
        assert shows(done.raw) == [], command
        assert shows(done.stderr) == [], command
    to_stdout = seedream("generate", "fox", "-v", "-o", "-")
    assert (to_stdout.raw, shows(to_stdout.stderr)) == (png(), [])
    # There were all kinds of exit codes, but no bug.
    assert codes >= {0, 2, 6, 7, 9}
    assert 1 not in codes
    assert holding(seedream) == expected
    assert any(KEY in str(request) for request in sandbox.requests)
    assert all(not shows(str(request)) for request in sandbox.requests if request.origin == "image")


@pytest.mark.slow
def test_key_in_keyring_is_written_nowhere_else(seedream_process: Program, sandbox: Sandbox) -> None:
    # A process chooses its keyring once.
    seedream = seedream_process
    del seedream.environment["SEEDREAM_API_KEY"]
    (seedream.cwd / "sitecustomize.py").write_text(BUG)
    output = ""
    with secret_service() as desktop:
        seedream.environment |= desktop.environment
        done = seedream("config", "set", "api_key", "-", "--keyring", "-v", stdin=f"{KEY}\n")
        assert desktop.kept == {("apipod-seedream", "default"): KEY}
        output += done.stdout + done.stderr
        for command in (["config", "list", "-v"], ["config", "check", "-v"], ["generate", "fox", "-v"]):
            done = seedream(*command)
            assert done.exit_code == 0
            output += done.stdout + done.stderr
        done = seedream("generate", "fox", "-v", env={"PYTHONPATH": str(seedream.cwd)})
        assert "Traceback" in done.stderr
        output += done.stdout + done.stderr
    assert shows(output) == []
    assert holding(seedream) == []
    assert KEY in str(sandbox.requests)


@pytest.mark.started
@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="this system has no /proc")
def test_key_is_in_no_file_or_command_line_during_a_run(seedream: Program, start_raw: StartRaw) -> None:
    # A unique key, because the command lines of all processes are searched.
    key = f"sk-canary-{secrets.token_hex(8)}"
    seen: dict[str, list[Path]] = {}
    lines: dict[str, list[str]] = {}

    def recording(what: str, reply: bytes) -> Callable[[Exchange], None]:
        def record(exchange: Exchange) -> None:
            seen[what] = holding(seedream, key)
            lines[what] = list(command_lines())
            exchange.connection.sendall(reply)

        return record

    host = start_raw(recording("the image", answer(200, png())))
    done = success({"status": "completed", "result": [f"{host.origin}/1.png"]})
    server = start_raw(recording("the create", accepted()), recording("the status", done))
    seedream.use(server.base_url)
    del seedream.environment["SEEDREAM_API_KEY"]
    assert seedream("config", "set", "api_key", "-", stdin=key).exit_code == 0
    assert seedream("generate", "fox").exit_code == 0
    # At that moment the journal of the history and the partial file of the image exist.
    assert seen == {what: [seedream.config] for what in ("the create", "the status", "the image")}
    assert [found for found in lines.values() if any("seedream_cli" in line for line in found)] != []
    assert [line for found in lines.values() for line in found if shows(line, key)] == []


def command_lines() -> Iterable[str]:
    """Yield the command line of every process."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            yield path.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        except OSError:
            continue


def test_key_is_not_stored_or_logged_by_sandbox(seedream: Program) -> None:
    running = seedream.start("sandbox", "--verbose", "--seconds", "0")
    running.wait_for(lambda: "\n" in running.stdout)
    seedream.use(running.stdout.strip(), key=KEY)
    assert seedream("generate", "fox", "--no-wait").exit_code == 0
    assert seedream("generate", "fox", env={"SEEDREAM_API_KEY": f"{KEY}-invalid"}).exit_code == 4
    done = running.stop(signal.SIGINT)
    assert "POST /sandbox/v1/images/generations 401" in done.stderr
    assert shows(done.stdout + done.stderr) == []
    assert holding(seedream) == []


# Keys in the wrong place


@pytest.mark.parametrize(
    "command",
    [
        ["generate", "fox", "--api-key", KEY],
        ["generate", "fox", f"--api-key={KEY}"],
        ["generate", "fox", "-v", "--api-key-file", KEY],
        ["generate", "--resume", "nowhere", "-v", "--json", "--api-key-file", KEY],
        ["status", "nowhere", "-v", "--api-key-file", KEY],
        ["config", "check", "-v", "--api-key-file", KEY],
        ["config", "set", "api_key", KEY],
        ["config", "set", f"api_key={KEY}"],
        ["config", "set", f"{KEY}=x"],
        ["config", "set", KEY],
        ["config", "set", KEY, "-"],
        ["config", "get", KEY, "--json"],
        ["config", "unset", KEY],
    ],
    ids=lambda command: " ".join(command).replace(KEY, "KEY"),
)
def test_key_on_the_command_line_is_not_repeated(seedream: Program, command: list[str]) -> None:
    seedream.use("http://127.0.0.1:1/v1")
    del seedream.environment["SEEDREAM_API_KEY"]
    done = seedream(*command)
    assert shows(done.stdout + done.stderr) == []
    assert holding(seedream) == []


@pytest.mark.parametrize("variable", ["SEEDREAM_API_KEY", "APIPOD_API_KEY", "SEEDREAM_API_KEY_FILE"])
def test_malformed_key_is_not_repeated(seedream: Program, tmp_path: Path, variable: str) -> None:
    seedream.use("http://127.0.0.1:1/v1")
    del seedream.environment["SEEDREAM_API_KEY"]
    for key in (f"{KEY}\n", f"{KEY}\u00e9", f"{KEY} x", f"{KEY}\x1b[m", f"\ufeff{KEY}\t\n{KEY}"):
        if variable.endswith("FILE"):
            (tmp_path / "key.txt").write_text(f"{key}{KEY} x", encoding="utf-8")
            key = str(tmp_path / "key.txt")
        for command in (["generate", "fox"], ["config", "check", "--json"], ["config", "list"]):
            done = seedream(*command, "-v", env={variable: key})
            assert done.exit_code in (0, 4)
            assert shows(done.stdout + done.stderr) == []
    assert holding(seedream) == []


# Crashes

#: A crash with the key in a local variable and in the message of the exception.
BUG = """
import seedream_cli.api.client

def broken(self, *args, **options):
    raise LookupError(f"Bearer {self._secret!r} {vars(self)}")

seedream_cli.api.client.Client.submit = seedream_cli.api.client.Client.get_account = broken
"""


@pytest.mark.parametrize("place", ["environment", "config"])
def test_crash_does_not_show_the_key(seedream: Program, sandbox: Sandbox, place: str) -> None:
    (seedream.cwd / "sitecustomize.py").write_text(BUG)
    seedream.use(sandbox.base_url, key=KEY)
    if place == "config":
        del seedream.environment["SEEDREAM_API_KEY"]
        seedream.config.parent.mkdir(parents=True)
        seedream.config.write_text(f'[profiles.default]\napi_key = "{KEY}"\n')
    done = seedream("generate", "fox", "--verbose", "--json", env={"PYTHONPATH": str(seedream.cwd)})
    assert done.exit_code == 1
    assert "Traceback" in done.stderr
    assert "LookupError" in done.document["error"]["message"]
    assert shows(done.stdout + done.stderr) == []
    assert holding(seedream) == ([seedream.config] if place == "config" else [])


# Other secrets


def test_signed_url_query_is_not_shown(seedream: Program, start_raw: StartRaw) -> None:
    image = start_raw(answer(404), answer(404), answer(200, png()))
    signed = f"{image.origin}/1.png?signature=s3cr3t"
    seedream.use(start_raw(accepted(), success({"status": "completed", "result": [signed]})).base_url)
    failed = seedream("generate", "fox", "-v")
    assert failed.exit_code == 9
    assert "s3cr3t" not in failed.stderr + seedream("download", "task_1", "-v").stderr

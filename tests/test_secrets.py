"""A key is planted, everything there is is run, and every byte that was written is searched for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from support.images import png
from support.program import Program
from support.raw import RawServer, Reply, accepted, answer, success

from seedream_cli.sandbox.server import Sandbox

KEY = "sk-canary-4f9d2c7be1"
ECHO = {"error": {"message": f"Incorrect API key provided: {KEY}", "code": f"bad_{KEY}"}}
HEADERS = {"X-Request-ID": f"req_{KEY}", "X-Request-Cost": KEY, "Set-Cookie": f"key={KEY}"}

#: Servers that say the key again wherever they can, by what they do.
SERVERS: dict[str, tuple[Reply, ...]] = {
    "401": (answer(401, ECHO, headers=HEADERS),),
    "200 with an error": (answer(200, ECHO, headers=HEADERS),),
    "400 as text": (answer(400, f"no: {KEY}".encode(), headers=HEADERS),),
    "a task that fails": (
        accepted("task_1", headers=HEADERS),
        success({"status": "failed", "error_message": f"key {KEY}", "error_code": KEY}, headers=HEADERS),
    ),
    "a redirect": (answer(302, headers={"Location": f"https://elsewhere.test/?key={KEY}"}),),
}
COMMANDS = (
    ["generate", "fox", "--timeout", "0"],
    ["generate", "fox", "--timeout", "0", "--json"],
    ["status"],
    ["status", "--json"],
    ["status", "task_1"],
    ["download", "task_1", "--no-wait"],
    ["download", "--pending", "--no-wait"],
    ["generate", "--resume", "last", "--no-wait"],
    ["config", "list"],
    ["config", "list", "--json"],
    ["config", "get", "api_key"],
    ["config", "check"],
    ["config", "check", "--json"],
    ["generate", "fox", "--dry-run"],
    ["generate", "fox", "--nope"],
)


def written(seedream: Program) -> dict[Path, bytes]:
    home = Path(seedream.environment["HOME"])
    return {path: path.read_bytes() for path in home.rglob("*") if path.is_file()}


#: Those that talk to the service: the others cannot repeat what it says but from the history.
TALKING = [command for command in COMMANDS if command[:2] not in (["config", "list"], ["config", "get"])]


def run_all(seedream: Program, commands: Sequence[list[str]] = COMMANDS) -> str:
    said = ""
    for command in commands:
        done = seedream(*command, "--verbose")
        said += done.stdout + done.stderr
    return said


@pytest.mark.parametrize("replies", SERVERS.values(), ids=SERVERS)
def test_a_key_that_a_server_repeats_is_written_nowhere(
    seedream: Program, start_raw: Callable[..., RawServer], replies: tuple[Reply, ...]
) -> None:
    server = start_raw(*replies)
    seedream.use(server.base_url, key=KEY)
    assert KEY not in run_all(seedream, TALKING[:-2])
    assert [path for path, content in written(seedream).items() if KEY.encode() in content] == []
    # It did arrive where it belongs, so the search was for the right word.
    assert any(KEY in request.headers["authorization"] for request in server.requests)


def test_a_key_is_written_nowhere_in_a_day_of_work(seedream: Program, sandbox: Sandbox) -> None:
    seedream.use(sandbox.base_url, key=KEY)
    said = run_all(seedream)
    for more in (["-o", "fox.png"], ["-o", "-"], ["--json"], ["-q"]):
        said += seedream("generate", "fox", "-v", *more).stderr
    assert KEY not in said
    assert [path for path, content in written(seedream).items() if KEY.encode() in content] == []
    assert all(KEY not in str(request) for request in sandbox.requests if request.origin == "image")


def test_a_stored_key_is_in_the_config_alone(seedream: Program, sandbox: Sandbox) -> None:
    seedream.use(sandbox.base_url)
    del seedream.environment["SEEDREAM_API_KEY"]
    stored = seedream("config", "set", "api_key", "-", "--verbose", stdin=f"{KEY}\n")
    assert KEY not in stored.stdout + stored.stderr + run_all(seedream)
    assert [path for path, content in written(seedream).items() if KEY.encode() in content] == [
        seedream.config
    ]


def test_a_crash_does_not_show_the_key(seedream: Program, sandbox: Sandbox) -> None:
    (seedream.cwd / "sitecustomize.py").write_text("import uuid\ndel uuid.uuid4\n")
    seedream.use(sandbox.base_url, key=KEY)
    done = seedream("generate", "fox", "--verbose", env={"PYTHONPATH": str(seedream.cwd)})
    assert "Traceback" in done.stderr
    assert KEY not in done.stdout + done.stderr


def test_a_signed_urls_query_is_not_said(seedream: Program, start_raw: Callable[..., RawServer]) -> None:
    image = start_raw(answer(404), answer(404), answer(200, png()))
    signed = f"{image.origin}/1.png?signature=s3cr3t"
    seedream.use(start_raw(accepted(), success({"status": "completed", "result": [signed]})).base_url)
    failed = seedream("generate", "fox", "-v")
    assert failed.exit_code == 9
    assert "s3cr3t" not in failed.stderr + seedream("download", "task_1", "-v").stderr

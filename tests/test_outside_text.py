"""Injection tests: hostile text through every input, and no control sequence in any output."""

from __future__ import annotations

import json
import re
import sqlite3
import unicodedata
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from support.echoing import COMMANDS, echo_replies, headers_of
from support.images import png
from support.program import Program, Result
from support.raw import accepted, answer, success
from support.starting import StartRaw
from support.terminal import Terminal

from seedream_cli.sandbox.server import Sandbox

#: Terminal controls, CI workflow commands and rich markup. The program itself prints no part of it.
EVIL = (
    "::error::[bold red]fooled[/]\x9b2J\n::set-output name=x::y\r  ::add-mask::z\n##[error]so ##vso[task.x]\n"
    "\x1b[31m\x1b]0;owned\x07\x1b]8;;http://x\x07\x1b[0Ksection_start:1:x\r\x1b[0K\x85::debug::n\u2028::debug::l"
    "\u202egnp\u2066\u200f[link=http://x]l[/link]"
)
#: The same text for headers, which cannot have ASCII controls.
EVIL_HEADER = re.sub(r"[\x00-\x1f]+", " ", EVIL).strip()

BIDIRECTIONAL = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


def find_controls(output: str) -> list[str]:
    """Return the parts of an output that a terminal or a CI log would execute."""
    found = [
        repr(char)
        for char in output
        if char not in "\n\t"
        and (
            unicodedata.category(char) in ("Cc", "Zl", "Zp")
            or unicodedata.bidirectional(char) in BIDIRECTIONAL
        )
    ]
    found += [
        line
        for line in re.split(r"[\n\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]", output)
        if re.match(r"\s*::", line)
    ]
    return found + re.findall(r"##\w*\[.*", output)


def test_find_controls_finds_every_kind() -> None:
    assert len(find_controls(EVIL)) > 10
    for part in ("\x1b[m", "a\n::x::", "\t ::x", "so ##[x", "##vso[x", "\x9bm", "\u202e", "\u2028", "\r"):
        assert find_controls(part), part
    assert not find_controls("so ::x\n a # #[x] [bold]\t::\n")


Run = Callable[..., Result]


@pytest.fixture
def run_checked(seedream: Program, no_pauses: None) -> Run:
    """Return a function that runs the program and checks its output."""
    # A single poll, whose response may take as long as the interval.
    seedream.environment |= {"SEEDREAM_TIMEOUT": "0", "SEEDREAM_POLL_INTERVAL": "5"}

    def run(*arguments: str, env: dict[str, str] | None = None, cwd: Path | None = None) -> Result:
        done = seedream(*arguments, env=env, cwd=cwd)
        assert find_controls(done.stdout) == []
        assert find_controls(done.stderr) == []
        assert "Traceback" not in done.stderr
        return done

    return run


# Text from a service

EVIL_HEADERS = headers_of(EVIL_HEADER)
SERVICES = {
    **echo_replies(EVIL, EVIL_HEADER),
    "an image's host": (
        accepted(EVIL),
        success({"status": "completed", "result": [f"https://{EVIL}/{EVIL}"]}),
    ),
}


@pytest.mark.parametrize("name", SERVICES)
def test_service_response_is_cleaned(
    seedream: Program, run_checked: Run, start_raw: StartRaw, name: str
) -> None:
    seedream.use(start_raw(*SERVICES[name]).base_url)
    output = ""
    for command in COMMANDS:
        done = run_checked(*command)
        output += done.stdout + done.stderr
    # The text of a valid response is printed, with its markup unchanged.
    assert ("[bold red]fooled[/]" in output) is (name not in ("no HTTP", "a reason"))


def test_image_host_response_is_cleaned(seedream: Program, run_checked: Run, start_raw: StartRaw) -> None:
    host = start_raw(
        answer(500, EVIL.encode(), headers=EVIL_HEADERS),
        answer(302, headers={**EVIL_HEADERS, "Location": f"ftp://{EVIL_HEADER}/{EVIL_HEADER}"}),
        answer(200, EVIL.encode(), headers=EVIL_HEADERS),
        b"HTTP/1.1 418 " + EVIL_HEADER.encode() + b"\r\n\r\n",
        answer(200, png(), headers=EVIL_HEADERS),
    )
    done = success(
        {"status": "completed", "result": [f"{host.origin}/::error::/##[error]\u202e.png?{EVIL_HEADER}"]}
    )
    seedream.use(start_raw(accepted(headers=EVIL_HEADERS), done).base_url)
    seedream.environment["SEEDREAM_OUTPUT"] = "{task}.{ext}"
    assert run_checked("generate", "fox", "-v").exit_code == 9
    saved = run_checked("download", "task_1", "-v")
    assert saved.exit_code == 0
    assert "saved 1 image to " in saved.stderr
    assert ", cost ::error::[bold red]fooled[/]" in saved.stderr
    assert len(host.requests) == 5


# Text from the command line, the environment and files

OPTIONS = (
    *("--model", "--aspect-ratio", "--quality", "--timeout", "--max-bytes", "--output", "--prompt-file"),
    *("--base-url", "--api-key-file", "--profile"),
)
ARGUMENTS = (
    *(["generate", "x", option, EVIL] for option in OPTIONS),
    *(["generate", "x", word] for word in (EVIL, f"-{EVIL}", f"--{EVIL}", f"--nope={EVIL}")),
    *(["generate", "x", "--output", name] for name in ("a\nb.png", f"{{{EVIL}}}")),
    *(["generate", EVIL, *more] for more in (["-v"], ["--dry-run"], ["--dry-run", "--json"])),
    ["generate", "--prompt-file", EVIL],
    ["generate", "--resume", EVIL],
    ["generate", "x", "--callback-url", EVIL, "--dry-run"],
    ["status", EVIL, "-v"],
    ["status", EVIL, "--json"],
    *(["status", option, EVIL] for option in ("--state", "--limit")),
    ["download", EVIL, "-v"],
    *(["config", word, EVIL] for word in ("get", "unset")),
    *(
        ["config", "set", *words]
        for words in ([EVIL, "x"], [f"{EVIL}=x"], ["timeout", EVIL], ["model", EVIL])
    ),
    # The value was stored by the command before.
    *(["config", *words] for words in (["get", "model"], ["list"], ["list", "--json"])),
    ["config", EVIL],
    [EVIL],
    *(["sandbox", option, EVIL, "--json"] for option in ("--fault", "--port", "--dialect")),
)


def test_command_line_is_cleaned(seedream: Program, run_checked: Run, start_raw: StartRaw) -> None:
    seedream.use(start_raw(answer(404, b"")).base_url)
    codes = [run_checked(*arguments).exit_code for arguments in ARGUMENTS]
    assert set(codes) <= {0, 2, 4, 6}
    assert codes.count(2) > len(codes) / 2


#: Variables of settings and others, without those that change the locations of files.
VARIABLES = (
    *("SEEDREAM_MODEL", "SEEDREAM_ASPECT_RATIO", "SEEDREAM_QUALITY", "SEEDREAM_OUTPUT", "SEEDREAM_TIMEOUT"),
    *("SEEDREAM_POLL_INTERVAL", "SEEDREAM_MAX_BYTES", "SEEDREAM_CALLBACK_URL", "SEEDREAM_BASE_URL"),
    *("SEEDREAM_API_KEY", "SEEDREAM_API_KEY_FILE", "SEEDREAM_PROFILE", "HTTPS_PROXY", "NO_PROXY"),
    *("SSL_CERT_FILE", "SEEDREAM_SANDBOX_SECONDS", "SEEDREAM_SANDBOX_FAULT", "SEEDREAM_SANDBOX_DIALECT"),
)


@pytest.mark.parametrize("variable", VARIABLES)
def test_environment_variable_is_cleaned(seedream: Program, run_checked: Run, variable: str) -> None:
    seedream.use("https://127.0.0.1:1/v1")
    value = "http://127.0.0.1:1/" + EVIL if variable == "HTTPS_PROXY" else EVIL
    commands = [["config", "list"], ["generate", "x", "-v"], ["status", "--json", "-v"]]
    if "SANDBOX" in variable:
        commands = [["sandbox"], ["status", "x", "--sandbox"], ["sandbox", "--help"]]
    for command in commands:
        run_checked(*command, env={variable: value})


@pytest.mark.parametrize(
    "content",
    [
        *(f"[profiles.default]\n{key} = {{evil}}\n" for key in ("model", "output", "timeout", "base_url")),
        "[profiles.default]\n{evil} = 3\n",
        "{evil} = 3\n",
        "profile = {evil}\n",
        "[profiles.{evil}]\nmodel = 3\n[profiles.default]\nmodel = []\n",
        "\x1b[31m::error::",
    ],
)
def test_config_file_is_cleaned(seedream: Program, run_checked: Run, content: str) -> None:
    seedream.use("http://127.0.0.1:1/v1")
    del seedream.environment["SEEDREAM_BASE_URL"]
    # JSON's escapes are valid in TOML too.
    text = content.replace("{evil}", json.dumps(EVIL))
    seedream.config.parent.mkdir(parents=True)
    for file, written in (
        (seedream.config, text),
        (seedream.cwd / "seedream.toml", text.replace("profiles.default", "defaults")),
    ):
        file.write_text(written)
        run_checked("config", "list")
        run_checked("generate", "x", "--dry-run", "-v")
        run_checked("generate", "x", "--base-url", "http://127.0.0.1:1")
        file.unlink()


@pytest.mark.parametrize(
    "name",
    [
        *("::error::x.png", "x ##[error]y.png", "a\nb.png", "\x1b[31mx.png", "\u202egnp.x"),
        *("./::error::x.png", "./::warning::x/{slug}.png", "x##{slug}[task.setvariable variable=PATH]y.png"),
    ],
)
def test_output_path_with_workflow_command_is_refused(
    seedream: Program, run_checked: Run, sandbox: Sandbox, name: str
) -> None:
    """Paths are printed unchanged, so they must not contain any command."""
    assert run_checked("generate", "fox", "-o", name).exit_code == 2
    (seedream.cwd / "seedream.toml").write_text(f"[defaults]\noutput = {json.dumps(name)}\n")
    refused = run_checked("generate", "fox")
    assert refused.exit_code == 2
    assert "output from seedream.toml [defaults]" in refused.stderr
    assert sandbox.requests == []


def test_folder_name_is_cleaned(seedream: Program, run_checked: Run) -> None:
    """A checkout or an archive can contain such a folder."""
    name = EVIL.replace("/", "|").encode()[:200].decode("utf-8", "ignore")
    evil = seedream.cwd / name
    evil.mkdir()
    seedream.use("http://127.0.0.1:1/v1")
    (evil / "seedream.toml").write_text("[defaults]\ntimeout = 'x'\n")
    for command in (["generate", "x"], ["generate", "x", "-o", str(evil)], ["status"], ["config", "list"]):
        run_checked(*command, cwd=evil)
    (evil / "seedream.toml").write_text("[")
    run_checked("generate", "x", cwd=evil)
    elsewhere = {"XDG_CONFIG_HOME": str(evil), "XDG_STATE_HOME": str(evil / "seedream.toml")}
    for command in (["config", "list"], ["config", "set", "model", "x"], ["status"]):
        run_checked(*command, env=elsewhere)


def test_history_is_cleaned(seedream: Program, run_checked: Run) -> None:
    """An earlier version or another program may have written it."""
    seedream.use("http://127.0.0.1:1/v1")
    run_checked("generate", "x", "--no-wait")
    body = {"prompt": EVIL, "model": EVIL, "aspect_ratio": EVIL, "quality": EVIL}
    with closing(sqlite3.connect(seedream.state / "history.sqlite3")) as db, db:
        for column in ("status", "error_message", "error_code", "request_id", "cost", "task_id"):
            db.execute(f"UPDATE operations SET {column} = ?", (EVIL,))  # noqa: S608 - the names above
        db.execute("UPDATE operations SET request = ?, results = ?", (json.dumps(body), json.dumps([EVIL])))
        db.execute(
            "INSERT INTO files SELECT id, 1, ?, ?, 1, ?, 1, 1 FROM operations", (f"/{EVIL}", EVIL, EVIL)
        )
    for command in (
        ["status"],
        ["status", "--json"],
        ["download", "--pending", "-v"],
        ["generate", "--resume", "last"],
    ):
        done = run_checked(*command)
        assert "[bold red]fooled[/]" in done.stdout + done.stderr
    with closing(sqlite3.connect(seedream.state / "history.sqlite3")) as db, db:
        db.execute("UPDATE operations SET created = ?", (EVIL,))
    assert run_checked("status").exit_code == 9


def test_traceback_is_cleaned(seedream: Program) -> None:
    (seedream.cwd / "sitecustomize.py").write_text(
        f"import uuid\ndef broken():\n    raise LookupError({EVIL!r})\nuuid.uuid4 = broken\n"
    )
    seedream.use("http://127.0.0.1:1/v1")
    done = seedream("generate", "x", "--verbose", "--json", env={"PYTHONPATH": str(seedream.cwd)})
    assert done.exit_code == 1
    assert "Traceback" in done.stderr
    assert find_controls(done.stderr) == find_controls(done.stdout) == []
    assert "[bold red]fooled[/]" in done.stderr


# On a terminal, with the live display of rich

#: Control sequences of the program and rich: colours, moving and erasing, the cursor.
OWN_CONTROLS = re.compile(rb"\x1b\[(?:\d*[ABCDGHJK]|\?25[lh]|(?:0|33|1;31)?m)|\r\n?")


def test_live_display_is_cleaned(seedream: Program, start_raw: StartRaw) -> None:
    evil = EVIL.replace("\x1b[0K", "\x1b[5m")
    server = start_raw(
        answer(429, {"message": evil}, headers={**EVIL_HEADERS, "Retry-After": "0"}),
        accepted("img_" + evil, headers=EVIL_HEADERS),
        *[success({"status": evil, "progress": 7}, headers=EVIL_HEADERS)] * 2,
        success({"status": "failed", "error_message": evil, "error_code": evil}, headers=EVIL_HEADERS),
    )
    seedream.use(server.base_url)
    command = ("generate", "fox", "--verbose", "--model", "m" + evil)
    with Terminal(seedream, *command, columns=200, lines=60) as terminal:
        done = terminal.result()
    assert done.exit_code == 3
    assert find_controls(OWN_CONTROLS.sub(b"\n", done.raw).decode()) == []
    assert "[bold red]fooled[/]" in done.text
    with Terminal(seedream, "status", columns=200) as terminal:
        assert find_controls(OWN_CONTROLS.sub(b"\n", terminal.result().raw).decode()) == []

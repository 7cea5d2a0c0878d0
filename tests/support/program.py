"""Runner of the program, as a process or inside the test process."""

from __future__ import annotations

import copy
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import IO, Any, Self

COMMAND = (sys.executable, "-m", "seedream_cli")


@dataclass(frozen=True)
class Result:
    """Exit code and output of a finished run. ``raw`` are the bytes of stdout."""

    exit_code: int
    stdout: str
    stderr: str
    raw: bytes

    @classmethod
    def of_bytes(cls, exit_code: int, stdout: bytes, stderr: bytes) -> Self:
        """Decode the output as UTF-8. Other bytes, which paths may contain, become surrogates."""
        texts = [data.decode("utf-8", "surrogateescape") for data in (stdout, stderr)]
        return cls(exit_code, texts[0], texts[1], stdout)

    @property
    def document(self) -> dict[str, Any]:
        """Return the JSON document on stdout."""
        parsed = json.loads(self.stdout)
        assert isinstance(parsed, dict)
        return parsed

    @property
    def paths(self) -> list[str]:
        """Return the lines of stdout."""
        return self.stdout.splitlines()


class Program:
    """Runner of `seedream` in a temporary home, isolated from the user's configuration."""

    def __init__(self, home: Path, *, in_process: bool = False) -> None:
        #: Run calls in the test process if they do not need their own.
        self._in_process = in_process
        self.cwd = home / "work"
        self.config = home / "config" / "apipod-seedream" / "config.toml"
        self.state = home / "state" / "apipod-seedream"
        self.cwd.mkdir(parents=True)
        self.environment: dict[str, str] = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "TMPDIR": str(home),
            "XDG_CONFIG_HOME": str(home / "config"),
            "XDG_STATE_HOME": str(home / "state"),
            "TERM": "xterm-256color",
            "SEEDREAM_POLL_INTERVAL": "0.01",
            "SEEDREAM_SANDBOX_SECONDS": "0",
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def as_process(self) -> Program:
        """Return a runner in the same home, environment and folder that starts a process for each call."""
        other = copy.copy(self)
        other._in_process = False
        return other

    def __call__(
        self,
        *arguments: str,
        stdin: str | bytes = b"",
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        timeout: float = 60,
    ) -> Result:
        """Run to the end. ``env`` is added to the environment."""
        environment = {**self.environment, **(env or {})}
        cwd = cwd or self.cwd
        data = stdin.encode() if isinstance(stdin, str) else stdin
        if self._in_process and not any(map(_is_for_python, environment)):
            from . import in_process

            if in_process.is_possible():
                return in_process.run(arguments, env=environment, cwd=cwd, stdin=data)
        done = subprocess.run(
            [*COMMAND, *arguments],
            input=data,
            capture_output=True,
            env=environment,
            cwd=cwd,
            timeout=timeout,
            check=False,
        )
        return Result.of_bytes(done.returncode, done.stdout, done.stderr)

    def shell(self, script: str, *, env: Mapping[str, str] | None = None) -> Result:
        """Run a Bash script in which `seedream` is the program."""
        function = f'seedream() {{ "{sys.executable}" -m seedream_cli "$@"; }}\n'
        done = subprocess.run(
            ["bash", "-c", function + script],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            env={**self.environment, **(env or {})},
            cwd=self.cwd,
            timeout=60,
            check=False,
        )
        return Result.of_bytes(done.returncode, done.stdout, done.stderr)

    def start(self, *arguments: str, env: Mapping[str, str] | None = None) -> Running:
        """Start a process without waiting for it."""
        return Running(
            subprocess.Popen(
                [*COMMAND, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={**self.environment, **(env or {})},
                cwd=self.cwd,
            )
        )

    def use(self, base_url: str, key: str = "sk-test-0123456789") -> None:
        """Use this service and key in all further runs."""
        self.environment |= {"SEEDREAM_BASE_URL": base_url, "SEEDREAM_API_KEY": key}

    def write_config(self, text: str) -> None:
        """Write the config file, with the permissions that `config set` gives it."""
        self.config.parent.mkdir(parents=True, exist_ok=True)
        self.config.write_text(text, encoding="utf-8")
        self.config.chmod(0o600)


def _is_for_python(variable: str) -> bool:
    """Return True if Python reads this variable when it starts."""
    return variable.startswith(("PYTHON", "LC_", "LANG")) and variable != "PYTHONDONTWRITEBYTECODE"


class Running:
    """A running process, whose output is read in the background."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self._read: dict[str, bytearray] = {"stdout": bytearray(), "stderr": bytearray()}
        self._readers = [
            threading.Thread(target=self._follow, args=(name, stream), daemon=True)
            for name, stream in (("stdout", process.stdout), ("stderr", process.stderr))
        ]
        for reader in self._readers:
            reader.start()

    def _follow(self, name: str, stream: IO[bytes] | None) -> None:
        assert stream is not None
        with stream:
            while chunk := os.read(stream.fileno(), 65536):
                self._read[name] += chunk

    @property
    def stdout(self) -> str:
        return self._read["stdout"].decode()

    @property
    def stderr(self) -> str:
        return self._read["stderr"].decode()

    def wait_for(self, condition: Callable[[], object], *, timeout: float = 20) -> None:
        """Wait until the condition is true. Fail if the program ends before."""
        deadline = monotonic() + timeout
        while not condition():
            assert self.process.poll() is None, self.result()
            assert monotonic() < deadline, "the condition did not become true in time"
            sleep(0.01)

    def stop(self, number: signal.Signals) -> Result:
        """Send a signal, and wait for the end."""
        self.process.send_signal(number)
        return self.result()

    def result(self) -> Result:
        self.process.wait(timeout=30)
        for reader in self._readers:
            reader.join(timeout=30)
        return Result.of_bytes(
            self.process.returncode, bytes(self._read["stdout"]), bytes(self._read["stderr"])
        )


def hint(result: Result) -> Sequence[str]:
    """Return the arguments of the command that the last line of an error suggests."""
    import shlex

    words = shlex.split(result.stderr.strip().splitlines()[-1])
    assert words[0] == "seedream", result.stderr
    return words[1:]

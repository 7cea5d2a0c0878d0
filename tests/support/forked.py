"""Client of `fork_server.py`: it starts runs of the program, and stops them at given points."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from .needs import program
from .program import Result

#: Where a run is stopped: "module:function", or any "call" or "line" of the program, and its number.
Point = tuple[str, int]


class ForkServer:
    """Fork server of this test process."""

    def __init__(self) -> None:
        self._folder = tempfile.mkdtemp(prefix="seedream-")
        self.path = os.path.join(self._folder, "fork_server")
        script = Path(__file__).with_name("fork_server.py")
        self._process = subprocess.Popen(
            [*_without_privileges(), sys.executable, str(script), self.path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"ready\n"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self._process.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            # A run that the test did not wait for keeps it alive.
            self._process.kill()
        shutil.rmtree(self._folder)


def _without_privileges() -> Sequence[str]:
    """Return a command that drops capabilities, so that read-only folders are read-only for root too."""
    if os.geteuid() == 0 and sys.platform == "linux":
        return [program("setpriv"), "--bounding-set=-dac_override,-dac_read_search"]
    return []


class Run:
    """One run of the program. ``act`` is called with it when it is stopped at the point ``at``.

    ``clock``: seconds by which its time of day differs. ``patience``: its timeout in real seconds for
    connections, reads and locks. ``timeout``: real seconds until it is killed.
    """

    def __init__(
        self,
        fork_server: ForkServer,
        arguments: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: Path,
        clock: float = 0.0,
        patience: float = 5.0,
        stdin: bytes = b"",
        timeout: float = 60.0,
        at: Point | None = None,
        act: Callable[[Run], None] = lambda run: None,
    ) -> None:
        #: Seconds by which its time of day is changed when it continues after a stop.
        self.set_clock_by = 0.0
        self._act = act
        self._connection = socket.socket(socket.AF_UNIX)
        self._connection.settimeout(timeout)
        self._connection.connect(fork_server.path)
        source, feed = os.pipe()
        threading.Thread(target=_feed, args=(feed, stdin), daemon=True).start()
        outer, inner = zip(os.pipe(), os.pipe(), strict=True)
        self._read: dict[int, bytes] = {}
        self._readers = [threading.Thread(target=self._follow, args=(end,), daemon=True) for end in outer]
        self._streams = outer
        for reader in self._readers:
            reader.start()
        socket.send_fds(self._connection, [b"\0"], (source, *inner))
        for end in (source, *inner):
            os.close(end)
        request = {
            "arguments": arguments,
            "env": dict(env),
            "cwd": str(cwd),
            "clock": clock,
            "patience": patience,
            "at": at,
        }
        self._connection.sendall(json.dumps(request).encode() + b"\n")
        self._lines = self._connection.makefile("rb")
        self.pid = int(json.loads(self._lines.readline())["pid"])

    def _follow(self, end: int) -> None:
        with open(end, "rb") as stream:
            self._read[end] = stream.read()

    def send(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def result(self) -> Result:
        """Wait for the end. If the run is stopped, call ``act`` and let it continue."""
        code = None
        for line in self._messages():
            message = json.loads(line)
            if "at" in message:
                self._act(self)
                # ``act`` may have killed it.
                with contextlib.suppress(OSError):
                    self._connection.sendall(f"{self.set_clock_by}\n".encode())
            if "exit" in message:
                code = message["exit"]
                break
        self._lines.close()
        self._connection.close()
        for reader in self._readers:
            reader.join(timeout=30)
        stdout, stderr = (self._read[end] for end in self._streams)
        assert isinstance(code, int), stderr.decode()
        return Result.of_bytes(code, stdout, stderr)

    def _messages(self) -> Iterator[bytes]:
        """Yield messages of the run's supervisor. Kill a run that takes too long."""
        try:
            yield from self._lines
        except TimeoutError:
            os.kill(self.pid, signal.SIGKILL)
            raise


def _feed(end: int, data: bytes) -> None:
    # Most runs do not read stdin.
    with contextlib.suppress(BrokenPipeError), open(end, "wb") as stream:
        stream.write(data)

"""Fork server: it imports the program once, and forks a process for each run (hundreds in a minute).

Each run has its own streams, environment, folder, signals and limits. Differences from a normal start:
modules are already imported, the clock skips every pause, timeouts of sockets are short, and only localhost
can be resolved. A run can be stopped where it enters a function, until the test resumes it.

This script is the server. `forked.py` is the client for tests, which connects over a Unix socket.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import select
import signal
import socket
import sys
import threading
import time
import traceback
from types import FrameType
from typing import Any, SupportsIndex

#: Environment variable with the path of a file. While that file exists, no name can be resolved.
NO_NAMES = "TEST_NO_NAMES"

_monotonic = time.monotonic
_now = time.time
_sleep = time.sleep
#: Seconds of skipped pauses.
_skipped = 0.0
#: Seconds by which the time of day was changed.
_clock_change = 0.0


def _skip(seconds: float | SupportsIndex, /) -> None:
    global _skipped
    _sleep(min(float(seconds), 0.001))
    _skipped += float(seconds)


def _patch_clock() -> None:
    """Replace the clock, before the program is imported and keeps references to it."""
    time.monotonic = lambda: _monotonic() + _skipped
    time.time = lambda: _now() + _skipped + _clock_change
    time.sleep = _skip


def _import_program() -> None:
    """Import all modules of the program that runs may need."""
    for name in (
        "__main__",
        "api.client",
        "tasks.batch",
        "output.json_reporter",
        "output.plain_reporter",
        "commands._sync_report",
    ):
        importlib.import_module(f"seedream_cli.{name}")
    cli = importlib.import_module("seedream_cli.cli")
    for name in cli.COMMANDS:
        importlib.import_module(f"seedream_cli.commands.{name}")
    for name in ("executor", "hash_cache", "image_task", "lockfile_writer", "project_files", "spending_cap"):
        importlib.import_module(f"seedream_cli.sync.{name}")


def _set_timeouts(seconds: float) -> None:
    """Set the timeouts of sockets and of locks of the history."""
    from seedream_cli.api import http
    from seedream_cli.history import store as history

    http.CONNECT_TIMEOUT = http.READ_TIMEOUT = seconds
    history._BUSY_TIMEOUT = seconds


def _block_name_resolution(event: str, arguments: tuple[Any, ...]) -> None:
    """Audit hook that lets every name resolution but localhost fail, so that nothing leaves this machine."""
    if event != "socket.getaddrinfo" or arguments[0] == "127.0.0.1":
        return
    if arguments[0] != "localhost" or os.path.exists(os.environ.get(NO_NAMES, "")):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


def main(path: str) -> None:
    """Fork a run for every connection, until stdin is closed."""
    _patch_clock()
    _import_program()
    sys.addaudithook(_block_name_resolution)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(64)
        print("ready", flush=True)
        while True:
            ready, _, _ = select.select([listener, sys.stdin], [], [])
            if sys.stdin in ready:
                return
            connection, _ = listener.accept()
            with connection:
                if os.fork() == 0:
                    listener.close()
                    _supervise(connection)


def _supervise(connection: socket.socket) -> None:
    """Start one run and report its exit code. Runs in a process of its own, and ends it."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    _, streams, _, _ = socket.recv_fds(connection, 1, 3)
    request = json.loads(connection.makefile("rb").readline())
    child = os.fork()
    if child == 0:
        _run_program(request, streams, connection)
    for stream in streams:
        os.close(stream)
    _, status = os.waitpid(child, 0)
    with contextlib.suppress(OSError):
        _send(connection, {"exit": os.waitstatus_to_exitcode(status)})
        # Unread data would reset the connection before the client has read the exit code.
        while connection.recv(64):
            pass
    os._exit(0)


def _run_program(request: dict[str, Any], streams: list[int], connection: socket.socket) -> None:
    """Run the program in this process as requested, and end the process."""
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    time.tzset()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    sys.stdin, sys.stdout, sys.stderr = (
        os.fdopen(number, mode, encoding="utf-8", closefd=False) for number, mode in enumerate("rww")
    )
    sys.argv = ["seedream", *request["arguments"]]
    _send(connection, {"pid": os.getpid()})
    global _clock_change
    _clock_change = request["clock"]
    _set_timeouts(request["patience"])
    if request["at"] is not None:
        _stop_at(connection, *request["at"])
    from seedream_cli.__main__ import main as program

    # The program itself ends the process, so this is reached only after an exception.
    try:
        program()
    except BaseException:
        traceback.print_exc()
    sys.settrace(None)
    with contextlib.suppress(OSError):
        sys.stderr.flush()
    os._exit(99)


def _stop_at(connection: socket.socket, what: str, count: int) -> None:
    """Stop when the event `what` happens for the `count`-th time, and wait for the client.

    `what` is a function ("module:name") entered in any thread, "call" for any function of the program in the
    main thread, or "line" for any line of it there. The client sends the seconds by which the time of day is
    changed before the run continues.
    """
    left = count
    counting = threading.Lock()
    replies = connection.makefile("rb")

    def reached() -> None:
        global _clock_change
        nonlocal left
        with counting:
            left -= 1
            is_reached = left == 0
        if is_reached:
            sys.settrace(None)
            _send(connection, {"at": what})
            _clock_change += float(replies.readline())

    def trace_lines(frame: FrameType, event: str, argument: object) -> Any:
        if event == "line":
            reached()
        return trace_lines

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        module = str(frame.f_globals.get("__name__"))
        in_program = module.startswith("seedream_cli")
        if what == "line":
            return trace_lines if in_program else None
        if f"{module}:{frame.f_code.co_qualname}" == what or (what == "call" and in_program):
            reached()
        return None

    sys.settrace(trace)
    if ":" in what:
        threading.settrace(trace)


def _send(connection: socket.socket, message: dict[str, Any]) -> None:
    connection.sendall(json.dumps(message).encode() + b"\n")


if __name__ == "__main__":
    main(*sys.argv[1:])

"""The program as processes that are forked from one that has loaded it: hundreds of runs in a minute.

Each run is a process of its own, with its own streams, environment, folder, signals and limits. What
differs from a start by hand: modules are loaded already, `time` is a clock that jumps over every pause
instead of waiting, sockets give up after a moment, and no name but this machine's can be looked up. A run
can be stopped where it enters a function, until it is told to go on.

This file is what runs; `forked.py` is how tests talk to it, over a socket of the file system.
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

#: An environment variable with the name of a file: while that is there, no name can be looked up.
NO_NAMES = "TEST_NO_NAMES"

_monotonic, _now, _sleep = time.monotonic, time.time, time.sleep
_ahead = 0.0
_set_by = 0.0


def _jump(seconds: float | SupportsIndex, /) -> None:
    global _ahead
    _sleep(min(float(seconds), 0.001))
    _ahead += float(seconds)


def _hurry() -> None:
    """Before the program is loaded: whoever keeps a reference to the clock gets this one."""
    time.monotonic = lambda: _monotonic() + _ahead
    time.time = lambda: _now() + _ahead + _set_by
    time.sleep = _jump


def _load() -> None:
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


def _give_patience(seconds: float) -> None:
    from seedream_cli.api import http
    from seedream_cli.history import store as history

    http.CONNECT_SECONDS = http.READ_SECONDS = seconds
    history._PATIENCE = seconds


def _only_this_machine(event: str, arguments: tuple[Any, ...]) -> None:
    """Answers for the resolver before it is asked: nothing leaves this machine."""
    if event != "socket.getaddrinfo" or arguments[0] == "127.0.0.1":
        return
    if arguments[0] != "localhost" or os.path.exists(os.environ.get(NO_NAMES, "")):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


def main(path: str) -> None:
    """Fork a run for every connection, until stdin is closed."""
    _hurry()
    _load()
    sys.addaudithook(_only_this_machine)
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
    """Start one run and tell how it ended; a process of its own, which ends here."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    _, streams, _, _ = socket.recv_fds(connection, 1, 3)
    request = json.loads(connection.makefile("rb").readline())
    child = os.fork()
    if child == 0:
        _become(request, streams, connection)
    for stream in streams:
        os.close(stream)
    _, status = os.waitpid(child, 0)
    with contextlib.suppress(OSError):
        _tell(connection, {"exit": os.waitstatus_to_exitcode(status)})
        # A word that nobody reads any more would break the connection before it is closed.
        while connection.recv(64):
            pass
    os._exit(0)


def _become(request: dict[str, Any], streams: list[int], connection: socket.socket) -> None:
    """Be the program, as the request wants it."""
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
    _tell(connection, {"pid": os.getpid()})
    global _set_by
    _set_by = request["clock"]
    _give_patience(request["patience"])
    if request["at"] is not None:
        _stop_at(connection, *request["at"])
    from seedream_cli.__main__ import main as program

    # The program ends the process itself.
    try:
        program()
    except BaseException:
        traceback.print_exc()
    sys.settrace(None)
    with contextlib.suppress(OSError):
        sys.stderr.flush()
    os._exit(99)


def _stop_at(connection: socket.socket, what: str, count: int) -> None:
    """Say so when `what` comes for the `count`-th time, and wait for a word.

    It is a function ("module:name") that is entered in any thread, "call" for any of the program's in its
    main thread, or "line" for any line of it there. The word is by how many seconds the time of day is set
    before it goes on.
    """
    left = count
    counting = threading.Lock()
    words = connection.makefile("rb")

    def reached() -> None:
        global _set_by
        nonlocal left
        with counting:
            left -= 1
            is_here = left == 0
        if is_here:
            sys.settrace(None)
            _tell(connection, {"at": what})
            _set_by += float(words.readline())

    def in_the_program(frame: FrameType, event: str, argument: object) -> Any:
        if event == "line":
            reached()
        return in_the_program

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        module = str(frame.f_globals.get("__name__"))
        ours = module.startswith("seedream_cli")
        if what == "line":
            return in_the_program if ours else None
        if f"{module}:{frame.f_code.co_qualname}" == what or (what == "call" and ours):
            reached()
        return None

    sys.settrace(trace)
    if ":" in what:
        threading.settrace(trace)


def _tell(connection: socket.socket, message: dict[str, Any]) -> None:
    connection.sendall(json.dumps(message).encode() + b"\n")


if __name__ == "__main__":
    main(*sys.argv[1:])

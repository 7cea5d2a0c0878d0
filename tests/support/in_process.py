"""Runner of the program inside the test process, which saves the start of Python for each call.

It calls the entry point of the installed command. A call has its own arguments, environment, current folder
and descriptors 0 to 2. All its changes of this process are undone. Exceptions that leave the entry point
reach the test.

Differences from a process: modules are already imported, signals do not reach the call, and stdin, stdout and
stderr are files. A test that depends on one of these must start a process.
"""

from __future__ import annotations

import contextlib
import gc
import io
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, NoReturn

from seedream_cli.__main__ import main

from .program import Result

#: Seconds for the threads of a call to end after it has returned.
_THREAD_TIMEOUT = 5.0

_running = threading.Lock()


class _Exit(BaseException):
    """Raised in place of `os._exit`, which would end the test process."""

    def __init__(self, code: int) -> None:
        self.code = code


def is_possible() -> bool:
    """Return True if no call is running and this is the main thread, which alone can set signal handlers."""
    return threading.current_thread() is threading.main_thread() and not _running.locked()


def run(arguments: Sequence[str], *, env: Mapping[str, str], cwd: Path, stdin: bytes = b"") -> Result:
    """Run the program to its end. Only one call at a time is possible."""
    with contextlib.ExitStack() as restoring:
        if not _running.acquire(blocking=False):
            raise RuntimeError("a call is running in this process already: start the other as a process")
        restoring.callback(_running.release)
        files = [restoring.enter_context(tempfile.TemporaryFile()) for _ in range(3)]
        files[0].write(stdin)
        files[0].seek(0)
        for change in (_environment(env), _folder(cwd), _interpreter(arguments), _threads()):
            restoring.enter_context(change)
        streams = restoring.enter_context(_standard_streams(files))
        try:
            main()
            code = 0
        except _Exit as exit_:
            # Buffered output is lost, as in a process.
            code = exit_.code
        except SystemExit as exit_:
            code = _exit_code_of(exit_)
            for stream in streams:
                stream.flush()
        for file in files[1:]:
            file.seek(0)
        return Result.of_bytes(code, files[1].read(), files[2].read())


def _exit_code_of(error: SystemExit) -> int:
    """Return the exit code that Python would use. A message is printed, as Python does."""
    if error.code is None or isinstance(error.code, int):
        return error.code or 0
    print(error.code, file=sys.stderr)
    return 1


@contextlib.contextmanager
def _environment(env: Mapping[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    try:
        os.environ.clear()
        os.environ.update(env)
        time.tzset()
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
        time.tzset()


@contextlib.contextmanager
def _folder(cwd: Path) -> Iterator[None]:
    before = os.open(".", os.O_RDONLY)
    try:
        os.chdir(cwd)
        yield
    finally:
        os.fchdir(before)
        os.close(before)


@contextlib.contextmanager
def _interpreter(arguments: Sequence[str]) -> Iterator[None]:
    """Set arguments of the interpreter, and restore global state that the program changes."""

    def exit_(status: int) -> NoReturn:
        raise _Exit(status)

    names = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    handlers = {name: signal.getsignal(name) for name in names}
    threshold, argv, folder, real_exit = gc.get_threshold(), sys.argv, tempfile.tempdir, os._exit
    try:
        sys.argv = ["seedream", *arguments]
        # Python caches it, but it depends on the environment of the call.
        tempfile.tempdir = None
        os._exit = exit_
        yield
    finally:
        os._exit, tempfile.tempdir, sys.argv = real_exit, folder, argv
        gc.set_threshold(*threshold)
        for name, handler in handlers.items():
            signal.signal(name, handler)


@contextlib.contextmanager
def _threads() -> Iterator[None]:
    """Wait for the threads that the call has started, so that they do not disturb the next call."""
    real_start = threading.Thread.start
    own_threads = {threading.main_thread()}

    def start(self: threading.Thread) -> None:
        # Threads of test servers do not belong to the call.
        if threading.current_thread() in own_threads:
            own_threads.add(self)
        real_start(self)

    threading.Thread.start = start  # type: ignore[method-assign]
    try:
        yield
    finally:
        threading.Thread.start = real_start  # type: ignore[method-assign]
        deadline = time.monotonic() + _THREAD_TIMEOUT
        left = own_threads - {threading.main_thread()}
        for thread in left:
            thread.join(max(0.0, deadline - time.monotonic()))
        assert not any(thread.is_alive() for thread in left), f"threads of the call are still running: {left}"


@contextlib.contextmanager
def _standard_streams(files: Sequence[IO[bytes]]) -> Iterator[Sequence[io.TextIOWrapper[Any]]]:
    """Duplicate the files to descriptors 0 to 2, and open the streams that Python would open on them."""
    before = [os.dup(number) for number in range(3)]
    python = sys.stdin, sys.stdout, sys.stderr
    try:
        for number, file in enumerate(files):
            os.dup2(file.fileno(), number)
        streams = [
            os.fdopen(0, encoding="utf-8", closefd=False),
            os.fdopen(1, "w", encoding="utf-8", closefd=False),
            os.fdopen(2, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False),
        ]
        sys.stdin, sys.stdout, sys.stderr = streams
        yield streams[1:]
    finally:
        # Flush them before the descriptors are restored.
        for stream in streams:
            with contextlib.suppress(OSError, ValueError):
                stream.close()
        sys.stdin, sys.stdout, sys.stderr = python
        for number, descriptor in enumerate(before):
            os.dup2(descriptor, number)
            os.close(descriptor)

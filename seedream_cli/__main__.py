"""The entry point of `python -m seedream_cli` and of the installed commands."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run the program and exit with its code."""
    try:
        code = _dispatch()
    except KeyboardInterrupt:
        # Ctrl-C before the signal handlers are installed: exit without a traceback, as later.
        code = 130
    # sys.exit would tear down every loaded module, and wait for threads that are blocked in the network.
    os._exit(code)


def _dispatch() -> int:
    """Answer a completion request or --version without loading Typer; run the program for all else."""
    # A shell waits for this at every Tab.
    if " ".join(sys.argv[1:3]).startswith("completion --list="):
        from .completion.answer import answer

        answer(sys.argv[2:])
        return 0
    if sys.argv[1:] in (["--version"], ["-V"]) and _print_version():
        return 0
    return _run()


def _print_version() -> bool:
    """Return True if stdout accepted the version. If not, :func:`.cli.run` tries again and reports why."""
    from . import VERSION_LINE

    try:
        return sys.stdout is not None and os.write(1, VERSION_LINE.encode()) == len(VERSION_LINE)
    except OSError:
        return False


def _run() -> int:
    """Run the command line with buffered output, and flush it."""
    import signal

    code = 130
    try:
        try:
            from .cli import run

            code = run(sys.argv[1:])
        finally:
            # Everything is done and reported. A later Ctrl-C must not change the exit code.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
    except KeyboardInterrupt:
        pass
    _flush()
    return code


def _flush() -> None:
    """Flush stdout and stderr. A closed pipe is not a failure."""
    from .output.stdio import silence

    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):
            silence(stream)


if __name__ == "__main__":
    main()

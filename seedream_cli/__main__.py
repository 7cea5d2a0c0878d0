"""`python -m seedream_cli`, and what the installed commands start."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run the program and exit with its code."""
    try:
        code = _answer()
    except KeyboardInterrupt:
        # Ctrl-C ends the program as quietly before anything of it is loaded as later.
        code = 130
    # A plain exit would tear down every loaded module first, and wait for threads that hang in the network.
    os._exit(code)


def _answer() -> int:
    # These two are answered before Typer is loaded: a shell waits for the first at every Tab.
    if " ".join(sys.argv[1:3]).startswith("completion --list="):
        from .completion.answer import answer

        answer(sys.argv[2:])
        return 0
    if sys.argv[1:] in (["--version"], ["-V"]) and _print_version():
        return 0
    return _run()


def _print_version() -> bool:
    """Return True if stdout took the version. If not, the program proper reports why."""
    from . import VERSION_LINE

    try:
        return sys.stdout is not None and os.write(1, VERSION_LINE.encode()) == len(VERSION_LINE)
    except OSError:
        return False


def _run() -> int:
    import signal

    code = 130
    try:
        try:
            from .cli import run

            code = run(sys.argv[1:])
        finally:
            # Everything is done and reported: nothing is left to interrupt.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
    except KeyboardInterrupt:
        pass
    _flush()
    return code


def _flush() -> None:
    """Write what is buffered. A reader that has left is not a failure."""
    from .output.stdio import silence

    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):
            silence(stream)


if __name__ == "__main__":
    main()

"""`python -m seedream_cli`, and what the installed commands start."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the program and exit with its code."""
    if sys.argv[1:3] == ["completion", "--list"]:
        # A shell waits for this while a line is being typed: nothing else of the program is loaded.
        from .candidates import answer

        answer(sys.argv[3:])
        sys.exit()
    sys.exit(_program())


def _program() -> int:
    import signal

    try:
        code = 130
        try:
            # Ctrl-C while modules load ends the program as quietly as later.
            from .cli import run

            code = run(sys.argv[1:])
        finally:
            # All is done, and told: what is left takes no time, and has nothing to stop.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
    except KeyboardInterrupt:
        pass
    _flush()
    return code


def _flush() -> None:
    """Write what is buffered; a reader that has left is no failure."""
    from .output.streams import silence

    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):
            silence(stream)


if __name__ == "__main__":
    main()

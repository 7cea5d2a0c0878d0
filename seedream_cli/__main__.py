"""`python -m seedream_cli`, and what the installed commands start."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the program and exit with its code."""
    try:
        # Ctrl-C while modules load ends the program as quietly as later.
        from .cli import run

        code = run(sys.argv[1:])
    except KeyboardInterrupt:
        code = 130
    _flush()
    sys.exit(code)


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

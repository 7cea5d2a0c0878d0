"""`python -m seedream_cli`, and what the installed commands start."""

from __future__ import annotations

import os
import sys

#: So many objects are made before the first search for garbage cycles, and between two.
_OBJECTS = 50_000


def main() -> None:
    """Run the program and exit with its code."""
    try:
        code = _answer()
    except KeyboardInterrupt:
        # Ctrl-C ends it as quietly while nothing of it is loaded yet as later.
        code = 130
    # Python would now take apart all that was loaded, which takes as long as to load a third of it.
    os._exit(code)


def _answer() -> int:
    # These two are answered before Typer is loaded: a shell waits for the first at every Tab.
    if " ".join(sys.argv[1:3]).startswith("completion --list="):
        from .completion.answer import answer

        answer(sys.argv[2:])
        return 0
    if sys.argv[1:] in (["--version"], ["-V"]) and _told_version():
        return 0
    return _program()


def _told_version() -> bool:
    """Whether stdout took it: what it did not take, the program proper has words for."""
    from . import VERSION_LINE

    try:
        return sys.stdout is not None and os.write(1, VERSION_LINE.encode()) == len(VERSION_LINE)
    except OSError:
        return False


def _program() -> int:
    import gc
    import signal

    # Next to nothing of what modules make is garbage: looking for it took a twentieth of the start.
    gc.set_threshold(_OBJECTS)

    code = 130
    try:
        try:
            from .cli import run

            code = run(sys.argv[1:])
        finally:
            # All is done, and told: what is left takes no time, and has nothing to stop.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
    except KeyboardInterrupt:
        pass
    # What was said before Ctrl-C is said.
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

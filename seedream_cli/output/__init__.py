"""Reporters, which turn events into output.

stdout has results and nothing else; progress, notes and errors go to stderr. rich is imported only for a
live display.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping

from . import github_actions
from .plain_reporter import PlainReporter
from .presenters import Presenter
from .stdio import Stderr, Stdout, supports_live_display, wants_colour

__all__ = ["reporter"]


def reporter(
    presenter: Presenter, *, json: bool, quiet: bool, verbose: bool, environment: Mapping[str, str]
) -> PlainReporter:
    """Return the reporter that suits the options and the standard streams."""
    factory = PlainReporter
    if json:
        from .json_reporter import JsonReporter as factory
    elif supports_live_display(sys.stderr, environment) and not quiet:
        from .live_reporter import LiveReporter as factory
    colour = wants_colour(sys.stderr, environment)
    stderr = (
        github_actions.Log(colour, environment)
        if github_actions.is_active(environment)
        else Stderr(colour=colour)
    )
    return factory(Stdout(), stderr, presenter, quiet=quiet, verbose=verbose)

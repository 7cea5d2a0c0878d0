"""Reporters: they fold the events of jobs into what is seen.

stdout is the answer and nothing else, stderr the conversation. rich is loaded only where a live
block is drawn.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping

from . import github_actions
from .plain_reporter import PlainReporter
from .presenters import Presenter
from .stdio import Stderr, Stdout, draws, wants_colour

__all__ = ["reporter"]


def reporter(
    presenter: Presenter, *, json: bool, quiet: bool, verbose: bool, environment: Mapping[str, str]
) -> PlainReporter:
    """The reporter for this call's streams and options."""
    factory = PlainReporter
    if json:
        from .json_reporter import JsonReporter as factory
    elif draws(sys.stderr, environment) and not quiet:
        from .live_reporter import LiveReporter as factory
    colour = wants_colour(sys.stderr, environment)
    talk = (
        github_actions.Log(colour, environment)
        if github_actions.is_here(environment)
        else Stderr(colour=colour)
    )
    return factory(Stdout(), talk, presenter, quiet=quiet, verbose=verbose)

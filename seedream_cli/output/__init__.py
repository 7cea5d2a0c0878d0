"""Reporters: they fold the events of jobs into what is seen.

stdout is the answer and nothing else, stderr the conversation. rich is loaded only where a live
block is drawn.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping

from .plain import Kind, PlainReporter
from .streams import Answer, Conversation, draws, wants_colour

__all__ = ["reporter"]


def reporter(
    kind: Kind, *, json: bool, quiet: bool, verbose: bool, environment: Mapping[str, str]
) -> PlainReporter:
    """The reporter for this call's streams and options."""
    factory = PlainReporter
    if json:
        from .json import JsonReporter as factory
    elif draws(sys.stderr, environment) and not quiet:
        from .human import HumanReporter as factory
    talk = Conversation(colour=wants_colour(sys.stderr, environment))
    return factory(Answer(), talk, kind, quiet=quiet, verbose=verbose)

"""Parse the words of a command line that is still being typed."""

from __future__ import annotations

from .table import COMMANDS, OPTIONS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


class CommandLine:
    """The words before the cursor. Anything that the program would reject is skipped."""

    def __init__(self, words: Sequence[str]) -> None:
        #: Some shells leave quotes in place.
        self.words = [word.strip("'\"") for word in words]
        #: Key of the table, such as "" (no command yet), "generate" or "config set".
        self.command = ""
        self.arguments: list[str] = []
        self.flags: set[str] = set()
        #: After `--` nothing is an option.
        self.options_ended = False
        #: The kind of value, if the last word is an option that requires one.
        self.pending: str | None = None
        remaining = iter(self.words)
        for word in remaining:
            if word == "--" and not self.options_ended:
                self.options_ended = True
            elif word.startswith("-") and word != "-" and not self.options_ended:
                flag, glued = split_option(word)
                self.flags.add(flag)
                kind = None if glued else self.kind_of(flag)
                if kind is not None and next(remaining, None) is None:
                    self.pending = kind
            elif word in COMMANDS[self.command]:
                self.command = f"{self.command} {word}".lstrip()
            else:
                self.arguments.append(word)

    def kind_of(self, flag: str) -> str | None:
        """Return the kind of an option's value; None if it takes none or does not exist."""
        return next((kind for flags, kind, _, _ in OPTIONS[self.command] if flag in flags), None)

    def value(self, option: str) -> str | None:
        """Return the value of an option, the last one if it is repeated."""
        value, is_next = None, False
        for word in self.words:
            if is_next:
                value = word
            elif word.startswith(f"{option}="):
                value = word.partition("=")[2]
            is_next = word == option
        return value


def split_option(word: str) -> tuple[str, str]:
    """Return the flag of `--flag=value` or `-fvalue`, and the part before the value ("" without a value)."""
    if word.startswith("--"):
        flag, equals, _ = word.partition("=")
        return flag, flag + equals if equals else ""
    return word[:2], word[:2] if len(word) > 2 else ""

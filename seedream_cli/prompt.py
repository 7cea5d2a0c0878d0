"""The parts of a prompt, joined as the API's advice says: the subject, then details, then the style."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct

#: Behind these a part needs no comma; behind those of the second kind, not even a blank.
_CLOSING = ".,;:!?…"
_FULL_WIDTH = "。，；：！？、"


class PromptParts(Struct, frozen=True):
    """What a prompt was joined from. ``style_name`` is what the style is called in `[styles]`."""

    subject: str
    details: str | None = None
    style: str | None = None
    style_name: str | None = None

    @property
    def prompt(self) -> str:
        return join_parts(part for part in (self.subject, self.details, self.style) if part is not None)


def join_parts(parts: Iterable[str]) -> str:
    """The parts with ", " in between; behind a part that ends in punctuation of its own, a blank will do."""
    prompt = ""
    for part in (part.strip() for part in parts):
        if not part or not prompt or prompt[-1] in _FULL_WIDTH:
            prompt += part
        else:
            prompt += f"{' ' if prompt[-1] in _CLOSING else ', '}{part}"
    return prompt


def resolve_style(text: str, styles: Mapping[str, str]) -> tuple[str, str | None]:
    """The style that was asked for, and its name if it has one.

    Raises ValueError with the reason for one word that is nearly a name: as a style it would be paid for.
    """
    if text in styles:
        return styles[text], text
    word = text.strip()
    if styles and not any(sign.isspace() for sign in word):
        # Nothing else that loads this module needs it.
        from difflib import get_close_matches

        close = get_close_matches(word.lower(), {name.lower(): None for name in styles}, n=1, cutoff=0.75)
        if close:
            name = next(name for name in styles if name.lower() == close[0])
            raise ValueError(f"no style is called {word!r}; did you mean {name!r}?")
    return text, None

"""Parts of a prompt, and how they are joined: subject, details, style, in the order that the API advises."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct

#: A part that ends with one of these is followed by a space instead of a comma.
_PUNCTUATION = ".,;:!?…"
#: A part that ends with one of these is followed by nothing: they have the space in them.
_FULL_WIDTH_PUNCTUATION = "。，；：！？、"


class PromptParts(Struct, frozen=True):
    """Parts that a prompt was joined from. ``style_name`` is the name of the style in ``[styles]``."""

    subject: str
    details: str | None = None
    style: str | None = None
    style_name: str | None = None

    @property
    def prompt(self) -> str:
        return join_parts(part for part in (self.subject, self.details, self.style) if part is not None)


def join_parts(parts: Iterable[str]) -> str:
    """Return the parts joined by ", ", or by a space after a part that ends with punctuation.

    Empty parts are left out.
    """
    prompt = ""
    for part in (part.strip() for part in parts):
        if not part or not prompt or prompt[-1] in _FULL_WIDTH_PUNCTUATION:
            prompt += part
        else:
            prompt += f"{' ' if prompt[-1] in _PUNCTUATION else ', '}{part}"
    return prompt


def resolve_style(text: str, styles: Mapping[str, str]) -> tuple[str, str | None]:
    """Return the style in words, and its name if ``text`` is the name of one of ``styles``.

    Raises ValueError for a single word that is almost a name: used as a style in words, the mistake would be
    billed.
    """
    if text in styles:
        return styles[text], text
    word = text.strip()
    if styles and not any(char.isspace() for char in word):
        # Imported here because only a possible mistake needs it.
        from difflib import get_close_matches

        close = get_close_matches(word.lower(), {name.lower(): None for name in styles}, n=1, cutoff=0.75)
        if close:
            name = next(name for name in styles if name.lower() == close[0])
            raise ValueError(f"no style is called {word!r}; did you mean {name!r}?")
    return text, None

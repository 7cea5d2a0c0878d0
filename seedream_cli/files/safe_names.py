"""Safe file names from outside text: valid on every system, and never a path out of a folder."""

from __future__ import annotations

import hashlib
import os
import re
import sys
import unicodedata

#: Longest file name in bytes. File systems allow 255; a sidecar appends `.json` to the name.
NAME_BYTES = 250
#: The slug of a prompt without words.
NO_SLUG = "image"

_SLUG_CHARACTERS = 48
_SLUG_BYTES = 120
_VALUE_BYTES = 120
#: A longer suffix, in bytes, counts as part of the stem.
_ENDING_BYTES = 32
#: Device names of Windows. They are reserved in every folder and with every suffix.
_RESERVED = re.compile(r"(?:CON|PRN|AUX|NUL|CONIN\$|CONOUT\$|(?:COM|LPT)[0-9¹²³]) *(?:\.|\Z)", re.IGNORECASE)


def slug(prompt: str) -> str:
    """Return the prompt's words in lower case, joined by ``-``; ``image`` if there are none.

    Words are made of letters and digits of any script. The slug is in Unicode form NFC and has at most 48
    characters and 120 bytes of UTF-8.
    """
    # Lower case can decompose and lengthen a character ("İ"), so normalize again before measuring.
    text = unicodedata.normalize("NFC", unicodedata.normalize("NFC", prompt).lower())
    kept = []
    after_letter = False
    for character in text:
        category = unicodedata.category(character)[0]
        # Vowel signs of Indic scripts are marks. Without them, words would be split.
        after_letter = category == "L" or (category == "M" and after_letter)
        kept.append(character if after_letter or category == "N" else " ")
    return _truncate_at_word("-".join("".join(kept).split())) or NO_SLUG


def _truncate_at_word(text: str) -> str:
    """Shorten the text to a slug's length, between two words unless that would remove half of it."""
    end = len(truncate_utf8(text[:_SLUG_CHARACTERS], _SLUG_BYTES))
    if end == len(text):
        return text
    half = (end + 1) // 2
    word_end = text.rfind("-", half, end + 1)
    if word_end >= 0:
        return text[:word_end]
    # Scripts without spaces are cut anywhere, but not between a letter and its vowel sign.
    ends = (index for index in range(end, half, -1) if unicodedata.category(text[index])[0] != "M")
    return text[: next(ends, end)]


def truncate_utf8(text: str, size: int) -> str:
    """Return the longest prefix of the text that has at most ``size`` bytes as UTF-8."""
    for index, character in enumerate(text):
        size -= len(utf8(character))
        if size < 0:
            return text[:index]
    return text


def utf8(text: str) -> bytes:
    """Return the text as UTF-8, lone surrogates included."""
    # Names that are not valid UTF-8 reach Python as lone surrogates.
    return text.encode("utf-8", "surrogatepass")


def _truncate_with_digest(text: str, size: int, *, original: str) -> str:
    """Shorten to ``size`` bytes, ending in a digest of the original: two long texts remain distinct."""
    digest = hashlib.sha256(utf8(original)).hexdigest()[:8]
    return f"{truncate_utf8(text, size - 9)}-{digest}"


def safe_value(value: str) -> str:
    """Return a field's value for use in a name: letters, digits, marks and ``._-``, at most 120 bytes."""
    encoding = sys.getfilesystemencoding()
    # Characters that file names cannot have become "?", which is replaced below like every other sign.
    nameable = value.encode(encoding, "replace").decode(encoding, "replace")
    text = "".join(c if c in "._-" or unicodedata.category(c)[0] in "LNM" else "_" for c in nameable)
    # A leading dot hides the file or leads out of its folder. A leading dash looks like an option.
    rest = text.lstrip(".-")
    text = "_" * (len(text) - len(rest)) + rest
    if len(utf8(value)) > _VALUE_BYTES:
        return _truncate_with_digest(text, _VALUE_BYTES, original=value)
    return text or "_"


def split_ending(name: str) -> tuple[str, str]:
    """Return stem and suffix, which is empty or begins with a dot."""
    stem, ending = os.path.splitext(name)
    return (stem, ending) if len(utf8(ending)) <= _ENDING_BYTES else (name, "")


def is_device(name: str) -> bool:
    """Return True if the name means a device on Windows (``CON``, ``nul.png``, …)."""
    return _RESERVED.match(name) is not None


def safe_component(name: str) -> str:
    """Return a name that contains expanded fields, changed so that it is valid on every system."""
    kept = name.rstrip(". ")
    name = kept + "_" * (len(name) - len(kept))
    if is_device(name):
        name = f"_{name}"
    if len(utf8(name)) > NAME_BYTES:
        stem, ending = split_ending(name)
        name = _truncate_with_digest(stem, NAME_BYTES - len(utf8(ending)), original=name) + ending
    return name

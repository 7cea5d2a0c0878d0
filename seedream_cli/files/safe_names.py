"""Text from outside as part of a file's name: storable on every system, never a way out of a folder."""

from __future__ import annotations

import hashlib
import os
import re
import sys
import unicodedata

#: Bytes of a name. File systems take 255; the `.json` of a sidecar goes behind the name.
NAME_BYTES = 250
#: The slug of a prompt without words.
NO_SLUG = "image"

_SLUG_CHARACTERS = 48
_SLUG_BYTES = 120
_VALUE_BYTES = 120
_ENDING_BYTES = 32
#: Names that Windows gives to devices, in any folder and with any ending.
_RESERVED = re.compile(r"(?:CON|PRN|AUX|NUL|CONIN\$|CONOUT\$|(?:COM|LPT)[0-9¹²³]) *(?:\.|\Z)", re.IGNORECASE)


def slug(prompt: str) -> str:
    """The prompt's words in lower case, joined by ``-``: NFC, at most 48 characters and 120 UTF-8 bytes.

    Letters and digits of any script count; everything else separates. ``image`` if nothing is left.
    """
    # Lower case can decompose and lengthen ("İ"), so the form is restored before anything is measured.
    text = unicodedata.normalize("NFC", unicodedata.normalize("NFC", prompt).lower())
    kept = []
    after_letter = False
    for character in text:
        category = unicodedata.category(character)[0]
        # Vowel signs of Indic scripts are marks: without them the words would fall apart.
        after_letter = category == "L" or (category == "M" and after_letter)
        kept.append(character if after_letter or category == "N" else " ")
    return _cut_at_word("-".join("".join(kept).split())) or NO_SLUG


def _cut_at_word(text: str) -> str:
    end = len(truncate_utf8(text[:_SLUG_CHARACTERS], _SLUG_BYTES))
    if end == len(text):
        return text
    half = (end + 1) // 2
    word_end = text.rfind("-", half, end + 1)
    if word_end >= 0:
        return text[:word_end]
    # Scripts without blanks are cut anywhere, but not between a letter and its vowel sign.
    whole = (index for index in range(end, half, -1) if unicodedata.category(text[index])[0] != "M")
    return text[: next(whole, end)]


def truncate_utf8(text: str, size: int) -> str:
    """The longest beginning of a text that takes at most ``size`` bytes as UTF-8."""
    for index, character in enumerate(text):
        size -= len(utf8(character))
        if size < 0:
            return text[:index]
    return text


def utf8(text: str) -> bytes:
    # Names that are not valid UTF-8 reach Python as lone surrogates.
    return text.encode("utf-8", "surrogatepass")


def _shortened(text: str, size: int, *, of: str) -> str:
    """Cut to ``size`` bytes, ending in a digest of the whole: two long texts remain distinct."""
    digest = hashlib.sha256(utf8(of)).hexdigest()[:8]
    return f"{truncate_utf8(text, size - 9)}-{digest}"


def safe_value(value: str) -> str:
    """A field's value as it may stand in a name: letters, digits, marks and ``._-``, at most 120 bytes."""
    encoding = sys.getfilesystemencoding()
    # What the file system cannot name becomes "?", which is replaced like every other sign.
    nameable = value.encode(encoding, "replace").decode(encoding, "replace")
    text = "".join(c if c in "._-" or unicodedata.category(c)[0] in "LNM" else "_" for c in nameable)
    # A leading dot hides the file and may climb; a leading dash is an option to whoever gets the name.
    rest = text.lstrip(".-")
    text = "_" * (len(text) - len(rest)) + rest
    if len(utf8(value)) > _VALUE_BYTES:
        return _shortened(text, _VALUE_BYTES, of=value)
    return text or "_"


def split_ending(name: str) -> tuple[str, str]:
    stem, ending = os.path.splitext(name)
    return (stem, ending) if len(utf8(ending)) <= _ENDING_BYTES else (name, "")


def is_device(name: str) -> bool:
    """Whether Windows takes the name of a file for a device's."""
    return _RESERVED.match(name) is not None


def safe_component(name: str) -> str:
    """A name with expanded fields in it, made storable on every system."""
    kept = name.rstrip(". ")
    name = kept + "_" * (len(name) - len(kept))
    if is_device(name):
        name = f"_{name}"
    if len(utf8(name)) > NAME_BYTES:
        stem, ending = split_ending(name)
        name = _shortened(stem, NAME_BYTES - len(utf8(ending)), of=name) + ending
    return name

"""Text from outside is shown as text."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seedream_cli.errors import SeedreamError
from seedream_cli.output.outcome import Failure
from seedream_cli.text import clean, format_duration, format_size, truncate

ANY_TEXT = st.text(st.characters(exclude_categories=()))  # surrogates included


@given(ANY_TEXT)
def test_no_control_character_is_left(text: str) -> None:
    left = clean(text)
    assert not [char for char in left if unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp")]
    bidirectional = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
    assert not [char for char in left if unicodedata.bidirectional(char) in bidirectional]
    assert len(left.splitlines()) <= 1
    left.encode("utf-8")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\nb", "a b"),
        ("a\r\n\tb", "a b"),
        ("\x1b[31mred", " [31mred"),
        ("\x1b]0;title\x07", " ]0;title "),
        ("\x9b31m", " 31m"),
        ("exe\u202egnp.", "exe gnp."),
        ("\u200eleft\u2066x\u2069", " left x "),
        ("[bold]红狐[/bold]", "[bold]红狐[/bold]"),
        ("caf\udce9", "caf?"),
        ("", ""),
    ],
)
def test_what_a_terminal_would_obey_becomes_a_blank(text: str, shown: str) -> None:
    assert clean(text) == shown


def test_a_servers_words_are_cut_at_500_characters() -> None:
    [_, words] = Failure(SeedreamError("refused", detail="x" * 501)).lines()
    assert words == "x" * 499 + "…"
    [_, words] = Failure(SeedreamError("refused", detail="红" * 500)).lines()
    assert words == "红" * 500


@given(ANY_TEXT, st.integers(1, 20))
def test_a_shortened_text_is_never_longer_than_asked(text: str, length: int) -> None:
    cut = truncate(text, length)
    assert len(cut) <= length
    assert cut == text or cut.endswith("…")


@pytest.mark.parametrize(
    ("made", "shown"),
    [
        *(
            (format_duration(0), "0.0 s"),
            (format_duration(1.25), "1.2 s"),
            (format_duration(59.94), "59.9 s"),
        ),
        *(
            (format_duration(59.96), "1 min 00 s"),
            (format_duration(119.6), "2 min 00 s"),
            (format_duration(3661), "61 min 01 s"),
        ),
        *(
            (format_size(0), "0 B"),
            (format_size(999), "999 B"),
            (format_size(1000), "1.0 kB"),
            (format_size(999_949), "999.9 kB"),
        ),
        *((format_size(999_950), "1.0 MB"), (format_size(2_500_000_000), "2.5 GB")),
    ],
)
def test_durations_and_sizes_are_read_by_people(made: str, shown: str) -> None:
    assert made == shown

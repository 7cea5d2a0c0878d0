"""Cleaning, truncation and formatting of text."""

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
def test_clean_removes_control_characters(text: str) -> None:
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
def test_clean_replaces_controls_by_blank(text: str, shown: str) -> None:
    assert clean(text) == shown


def test_error_detail_is_truncated_at_500_characters() -> None:
    [_, words] = Failure(SeedreamError("refused", detail="x" * 501)).lines()
    assert words == "x" * 499 + "…"
    [_, words] = Failure(SeedreamError("refused", detail="红" * 500)).lines()
    assert words == "红" * 500


@given(ANY_TEXT, st.integers(1, 20))
def test_truncate_limits_length(text: str, length: int) -> None:
    cut = truncate(text, length)
    assert len(cut) <= length
    assert cut == text or cut.endswith("…")


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        *((0, "0.0 s"), (1.25, "1.2 s"), (59.94, "59.9 s"), (59.96, "1 min 00 s"), (119.6, "2 min 00 s")),
        (3661, "61 min 01 s"),
    ],
)
def test_format_duration(seconds: float, expected: str) -> None:
    assert format_duration(seconds) == expected


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        *((0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (999_949, "999.9 kB"), (999_950, "1.0 MB")),
        (2_500_000_000, "2.5 GB"),
    ],
)
def test_format_size(count: int, expected: str) -> None:
    assert format_size(count) == expected

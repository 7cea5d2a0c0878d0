"""Joining the parts of a prompt, and resolving the name of a style."""

from __future__ import annotations

import pytest

from seedream_cli.prompt import PromptParts, join_parts, resolve_style


@pytest.mark.parametrize(
    ("parts", "prompt"),
    [
        (("a fox",), "a fox"),
        (("a fox", "soft light", "35mm"), "a fox, soft light, 35mm"),
        (("A fox.", "Soft light.", "35mm"), "A fox. Soft light. 35mm"),
        (("a fox,", "soft light"), "a fox, soft light"),
        (("a sign that says “open”", "noir"), "a sign that says “open”, noir"),
        (("雪中的红狐。", "柔光"), "雪中的红狐。柔光"),
        (("雪中的红狐", "柔光"), "雪中的红狐, 柔光"),
        ((" a fox \n", "", "  ", " 35mm "), "a fox, 35mm"),
        (("", "soft light"), "soft light"),
        ((), ""),
    ],
)
def test_join_parts(parts: tuple[str, ...], prompt: str) -> None:
    assert join_parts(parts) == prompt


def test_prompt_parts_order() -> None:
    assert PromptParts("fox", "light", "ink", "i").prompt == "fox, light, ink"
    assert PromptParts("fox", None, "ink").prompt == "fox, ink"


def test_resolve_style_by_name_or_in_words() -> None:
    styles = {"noir": "film noir, hard light", "Ink": "brush and ink"}
    assert resolve_style("noir", styles) == ("film noir, hard light", "noir")
    assert resolve_style("film noir", styles) == ("film noir", None)
    assert resolve_style("watercolour", styles) == ("watercolour", None)
    assert resolve_style("x", {}) == ("x", None)


@pytest.mark.parametrize(("word", "meant"), [("nior", "noir"), ("Noir", "noir"), ("ink", "Ink")])
def test_resolve_style_refuses_misspelled_name(word: str, meant: str) -> None:
    with pytest.raises(ValueError, match=f"no style is called '{word}'; did you mean '{meant}'"):
        resolve_style(word, {"noir": "x", "Ink": "y"})

"""Rows for people, which fit the screen, and for programs, which are whole."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st
from support.program import Program
from support.terminal import Terminal

from seedream_cli.output.table import display_width, fit_width, table
from seedream_cli.sandbox.server import Sandbox

ROWS = [
    ["2026-11-22", "img_1", "completed", "雪中的红狐", "/a/红狐.png"],
    ["2026-11-22", "op_22", "refused", "x", ""],
]


def test_in_a_pipe_values_are_whole_with_tabs_between() -> None:
    long = "很长" * 500
    assert table([*ROWS, ["a", "b", "c", long, "d"]], width=None) == [
        "2026-11-22\timg_1\tcompleted\t雪中的红狐\t/a/红狐.png",
        "2026-11-22\top_22\trefused\tx\t",
        f"a\tb\tc\t{long}\td",
    ]


def test_a_tab_or_a_line_feed_in_a_value_makes_no_column_and_no_row() -> None:
    assert table([["a\tb", "c\nd"]], width=None) == ["a b\tc d"]
    assert table([], width=80) == table([], width=None) == []


def test_on_a_screen_columns_stand_below_each_other_with_chinese_as_two() -> None:
    assert table(ROWS, width=80) == [
        "2026-11-22  img_1  completed  雪中的红狐  /a/红狐.png",
        "2026-11-22  op_22  refused    x",
    ]


def test_a_wide_character_is_not_cut_in_half() -> None:
    assert fit_width("红狐", 4) == "红狐"
    assert fit_width("红狐狸", 5) == "红狐…"
    assert fit_width("红狐狸", 4) == "红…"


@given(st.text(), st.integers(1, 30))
def test_a_fitted_text_is_a_beginning_that_fits(text: str, width: int) -> None:
    cut = fit_width(text, width)
    assert display_width(cut) <= width
    assert cut == text or (cut.endswith("…") and text.startswith(cut[:-1]))


def test_the_list_of_tasks_fits_a_narrow_terminal_and_is_whole_in_a_pipe(
    seedream: Program, sandbox: Sandbox
) -> None:
    prompt = "雪中的红狐 " + "gentle light " * 20
    [path] = seedream("generate", prompt).paths
    with Terminal(seedream, "status", columns=40) as terminal:
        shown = terminal.result()
    first, second = shown.lines
    assert first.endswith("…")
    [row] = seedream("status").stdout.splitlines()
    assert second.split()[0] == row.split("\t")[1]
    assert row.split("\t")[3:] == [prompt, str(seedream.cwd / path)]
    assert json.loads(seedream("status", "--json").stdout)["tasks"][0]["prompt"] == prompt

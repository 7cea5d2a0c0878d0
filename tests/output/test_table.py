"""Tables for terminals and for pipes."""

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


def test_table_in_pipe_has_whole_values_with_tabs() -> None:
    long = "很长" * 500
    assert table([*ROWS, ["a", "b", "c", long, "d"]], width=None) == [
        "2026-11-22\timg_1\tcompleted\t雪中的红狐\t/a/红狐.png",
        "2026-11-22\top_22\trefused\tx\t",
        f"a\tb\tc\t{long}\td",
    ]


def test_table_replaces_tabs_and_line_feeds_in_values() -> None:
    assert table([["a\tb", "c\nd"]], width=None) == ["a b\tc d"]
    assert table([], width=80) == table([], width=None) == []


def test_table_on_terminal_aligns_wide_characters() -> None:
    assert table(ROWS, width=80) == [
        "2026-11-22  img_1  completed  雪中的红狐  /a/红狐.png",
        "2026-11-22  op_22  refused    x",
    ]


def test_fit_width_does_not_split_wide_character() -> None:
    assert fit_width("红狐", 4) == "红狐"
    assert fit_width("红狐狸", 5) == "红狐…"
    assert fit_width("红狐狸", 4) == "红…"


@given(st.text(), st.integers(1, 30))
def test_fit_width_returns_prefix_that_fits(text: str, width: int) -> None:
    cut = fit_width(text, width)
    assert display_width(cut) <= width
    assert cut == text or (cut.endswith("…") and text.startswith(cut[:-1]))


def test_status_list_fits_terminal_and_is_whole_in_pipe(seedream: Program, sandbox: Sandbox) -> None:
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

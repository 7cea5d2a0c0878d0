"""What GitHub makes of a run, beside what the command's own tests show."""

from __future__ import annotations

from seedream_cli.output.github import MOST_BYTES, table


def test_a_summary_stays_below_what_github_takes() -> None:
    rows = [(f"row {number}", "失败" * 150, "", "") for number in range(1500)]
    text = table(("asset", "state", "size", "cost"), rows, "1500 failed")
    assert MOST_BYTES * 0.9 < len(text.encode("utf-8")) < 1024 * 1024
    shown = text.count("| row ")
    assert f"and {1500 - shown} more" in text
    assert text.rstrip().endswith("1500 failed")

"""The documents for contributors name files, folders and layers that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from test_architecture import LAYERS

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "seedream_cli"
DOCUMENTS = ("CONTRIBUTING.md", "SECURITY.md", "AGENTS.md", "docs/architecture.md", "docs/performance.md")


@pytest.mark.parametrize("name", DOCUMENTS)
def test_documents_name_existing_files(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    paths = set(re.findall(r"`([\w./]+(?:\.py|/))`", text)) - {"seedream_cli/commands/NAME.py"}
    missing = [
        path
        for path in paths
        if not (PACKAGE / path).exists() and not (ROOT / path).exists() and path != "~/"
    ]
    assert missing == []
    assert [link for link in links(text) if not (ROOT / name).parent.joinpath(link).exists()] == []


def links(text: str) -> list[str]:
    return [link.partition("#")[0] for link in re.findall(r"\]\((?!https?:|#)([^)]+)\)", text)]


def test_architecture_lists_every_folder_and_top_level_module() -> None:
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    tree = re.search(r"```\nseedream_cli/\n(.*?)\ntests/", text, re.DOTALL)
    assert tree is not None
    listed = {line.split()[0].rstrip("/") for line in tree[1].splitlines() if re.match(r"  \S", line)}
    modules = {path.name for path in PACKAGE.glob("*.py")} - {"__init__.py"}
    assert listed == modules | {path.parent.name for path in PACKAGE.glob("*/__init__.py")}


def test_architecture_states_the_import_rule_that_is_enforced() -> None:
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    rule = re.search(r"```\n(__main__ -> .*?)```", text, re.DOTALL)
    assert rule is not None
    stated = [set(re.findall(r"\w+", layer)) for layer in " ".join(rule[1].split()).split(" -> ")]
    assert stated == [set(folders) - {"__init__"} for folders in LAYERS]


def test_agents_file_has_at_most_a_dozen_lines() -> None:
    assert len((ROOT / "AGENTS.md").read_text(encoding="utf-8").splitlines()) <= 14

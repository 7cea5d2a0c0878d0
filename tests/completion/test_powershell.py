"""The script for PowerShell, which is parsed and read here: no PowerShell is at hand that could run it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import tree_sitter
import tree_sitter_powershell
from completion.scene import COMPLETIONS

from scripts.levels import Level, kinds, levels
from scripts.tree import program
from scripts.values import After, Asked, Words

SCRIPT = (COMPLETIONS / "seedream.ps1").read_bytes()
LEVELS = levels(program())
KINDS = kinds(LEVELS)


@pytest.fixture(scope="module")
def tree() -> tree_sitter.Node:
    language = tree_sitter.Language(tree_sitter_powershell.language())
    return tree_sitter.Parser(language).parse(SCRIPT).root_node


def of_type(node: tree_sitter.Node, kind: str) -> Iterator[tree_sitter.Node]:
    if node.type == kind:
        yield node
    for child in node.children:
        yield from of_type(child, kind)


def text(node: tree_sitter.Node) -> str:
    assert node.text is not None
    return node.text.decode("ascii")


@pytest.fixture(scope="module")
def tables(tree: tree_sitter.Node) -> dict[str, str]:
    """Keys of hash tables, joined, and the texts of their values."""

    def entries(node: tree_sitter.Node, path: str) -> Iterator[tuple[str, str]]:
        for child in node.children:
            if child.type == "hash_entry":
                key = text(child.children[0]).strip("'")
                yield f"{path}/{key}", text(child.children[-1]).strip()
                yield from entries(child.children[-1], f"{path}/{key}")
            else:
                yield from entries(child, path)

    found = list(entries(tree, ""))
    assert len(found) == len(dict(found)), "a key stands twice in a table"
    return dict(found)


def rows(value: str) -> list[list[str]]:
    """The rows of a here-string."""
    if value == "''":
        return []
    assert value.startswith("@'\n")
    assert value.endswith("\n'@")
    return [line.split("\t") for line in value[3:-3].split("\n")]


def plain(value: str) -> str:
    """What the script can say of it in ASCII."""
    return value.replace("…", "...")


def test_it_is_powershell(tree: tree_sitter.Node) -> None:
    assert not tree.has_error
    [command] = [node for node in of_type(tree, "command") if text(node).startswith("Register-Argument")]
    assert "-Native -CommandName 'seedream', 'apipod-seedream' -ScriptBlock {" in text(command)
    assert text(command) == text(tree).partition("\n")[2].rstrip()


@pytest.mark.parametrize(
    ("right", "wrong"),
    [(b"foreach (", b"foreach "), (b"} else {", b"} else"), (b"@(Get-Row", b"@(Get-Row (")],
)
def test_a_mistake_would_be_found(right: bytes, wrong: bytes) -> None:
    language = tree_sitter.Language(tree_sitter_powershell.language())
    broken = SCRIPT.replace(right, wrong, 1)
    assert broken != SCRIPT
    assert tree_sitter.Parser(language).parse(broken).root_node.has_error


def test_it_is_ascii_in_whatever_code_page_it_is_read() -> None:
    SCRIPT.decode("ascii")


@pytest.mark.parametrize("level", LEVELS, ids=lambda level: level.words or "seedream")
def test_it_knows_what_follows_which_words(tables: dict[str, str], level: Level) -> None:
    path = f"/{level.words}"
    assert rows(tables[f"{path}/Commands"]) == [list(row) for row in level.commands]
    assert rows(tables[f"{path}/Options"]) == [list(map(plain, row)) for row in level.option_rows]
    assert tables[f"{path}/Places"] == f"'{level.place_words}'"


def test_it_knows_the_values(tables: dict[str, str]) -> None:
    for kind in KINDS:
        if isinstance(kind, Words):
            assert rows(tables[f"/{kind.name}"]) == [list(map(plain, row)) for row in kind.rows]
        elif isinstance(kind, After):
            for word, part in kind.kinds:
                assert tables[f"/{kind.name}/{word}"] == f"'{part.name}'"
    asked = ", ".join(f"'{kind.name}'" for kind in KINDS if isinstance(kind, Asked))
    assert f"$asked = @({asked})" in SCRIPT.decode("ascii")


def test_every_variable_that_is_read_is_set(tree: tree_sitter.Node) -> None:
    """A name that was mistyped would be empty, and no error."""
    known = {"$_", "$null", "$true", "$false", "$wordToComplete", "$commandAst", "$cursorPosition"}
    assigned = {
        text(variable)
        for node in of_type(tree, "left_assignment_expression")
        for variable in of_type(node, "variable")
    }
    assigned |= {
        text(node)
        for part in of_type(tree, "foreach_statement")
        for node in part.children[:4]
        if node.type == "variable"
    }
    assigned |= {
        text(node)
        for part in of_type(tree, "function_parameter_declaration")
        for node in of_type(part, "variable")
    }
    read = {text(node) for node in of_type(tree, "variable")}
    assert read - known - assigned == set()

"""The script for PowerShell. It is only parsed, because PowerShell is not installed here."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import tree_sitter
import tree_sitter_powershell
from completion.logged_program import COMPLETIONS

SCRIPT = (COMPLETIONS / "seedream.ps1").read_bytes()


@pytest.fixture(scope="module")
def tree() -> tree_sitter.Node:
    language = tree_sitter.Language(tree_sitter_powershell.language())
    return tree_sitter.Parser(language).parse(SCRIPT).root_node


def nodes_of_type(node: tree_sitter.Node, kind: str) -> Iterator[tree_sitter.Node]:
    if node.type == kind:
        yield node
    for child in node.children:
        yield from nodes_of_type(child, kind)


def text(node: tree_sitter.Node) -> str:
    assert node.text is not None
    return node.text.decode("ascii")


def test_powershell_script_is_valid_and_registers_both_commands(tree: tree_sitter.Node) -> None:
    assert not tree.has_error
    [command] = [
        node for node in nodes_of_type(tree, "command") if text(node).startswith("Register-Argument")
    ]
    assert "-Native -CommandName 'seedream', 'apipod-seedream' -ScriptBlock {" in text(command)
    assert text(tree).rstrip().endswith(text(command))


@pytest.mark.parametrize(
    ("right", "wrong"), [(b"foreach (", b"foreach "), (b"} else {", b"} else"), (b"@($words", b"@(($words")]
)
def test_powershell_parser_finds_a_mistake(right: bytes, wrong: bytes) -> None:
    language = tree_sitter.Language(tree_sitter_powershell.language())
    broken = SCRIPT.replace(right, wrong, 1)
    assert broken != SCRIPT
    assert tree_sitter.Parser(language).parse(broken).root_node.has_error


def test_powershell_script_is_ascii() -> None:
    """Windows PowerShell reads scripts in the code page of the system."""
    SCRIPT.decode("ascii")


def test_powershell_script_assigns_every_variable_that_it_reads(tree: tree_sitter.Node) -> None:
    """PowerShell reads a misspelled variable as empty, without an error."""
    known = {"$_", "$null", "$true", "$false", "$wordToComplete", "$commandAst", "$cursorPosition"}
    assigned = {
        text(variable)
        for node in nodes_of_type(tree, "left_assignment_expression")
        for variable in nodes_of_type(node, "variable")
    }
    assigned |= {
        text(node)
        for part in nodes_of_type(tree, "foreach_statement")
        for node in part.children[:4]
        if node.type == "variable"
    }
    assigned |= {
        text(node)
        for part in nodes_of_type(tree, "function_parameter_declaration")
        for node in nodes_of_type(part, "variable")
    }
    read = {text(node) for node in nodes_of_type(tree, "variable")}
    assert read - known - assigned == set()

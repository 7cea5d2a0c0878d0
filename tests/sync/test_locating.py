"""The lines that problems are told with are those on which the keys stand."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from seedream_cli.sync.locating import Lines

MANIFEST = '''\
# [assets.hero] in a comment
[defaults]
dir = "assets" # dir = 3

[assets.hero]
  prompt = """
[assets.badge]
prompt = "no"
quotes "" and \\""" escaped ones""""
take=2
[ assets . "logo.v2" ]   # the dot belongs to the name
'prompt' = \'\'\'
take = 3
\'\'\'\'
list = [
  "]", # [ {
  [1, 2],
  { take = 1 },
]
inline = { prompt = "x", more = [
  1,
] }
nested.deep."k\\u0065y" = 1979-05-27T07:32:00Z
[[array]]
key = 1
[[array]]
other = "a # b"
[assets.late.inner]
x = 1
[assets.late]
y = 1
'''


@pytest.mark.parametrize(
    ("key", "line"),
    [
        ("defaults", 2),
        ("defaults dir", 3),
        ("assets", 5),
        ("assets hero", 5),
        ("assets hero prompt", 6),
        ("assets hero take", 10),
        ("assets logo.v2", 11),
        ("assets logo.v2 prompt", 12),
        ("assets logo.v2 take", 11),
        ("assets logo.v2 list", 15),
        ("assets logo.v2 list 2 take", 15),
        ("assets logo.v2 inline prompt", 20),
        ("assets logo.v2 nested deep key", 23),
        ("assets logo.v2 nested", 23),
        ("array", 24),
        ("array key", 25),
        ("array other", 27),
        ("assets late inner x", 29),
        ("assets late", 30),
        ("assets late y", 31),
        ("assets late path", 30),
        ("assets nobody prompt", 5),
        ("nothing", 1),
        ("", 1),
    ],
)
@pytest.mark.parametrize("ends", ["\n", "\r\n"], ids=["LF", "CRLF"])
def test_the_line_of_a_key(key: str, line: int, ends: str) -> None:
    tomllib.loads(MANIFEST)
    assert Lines(MANIFEST.replace("\n", ends)).line_of(*key.split()) == line


def test_inline_tables_over_several_lines_which_later_toml_has() -> None:
    lines = Lines("# 1\na = {\n  x = 1,\n}\nb = 2")
    assert (lines.line_of("a", "x"), lines.line_of("x"), lines.line_of("b")) == (2, 1, 5)


def test_no_keys_are_the_first_line() -> None:
    assert Lines(MANIFEST).line_of() == Lines("").line_of("a") == 1


@pytest.mark.parametrize(
    "text",
    [
        "[",
        '[a."',
        "a = [1,\n",
        'a = """\n',
        'a = "\\',
        "a = 'b\nc = 1",
        "]]]\n\na",
        "= 1\n.a = 2",
        '"\\q" = 1',
        "a.b.c.d.e.f.g.h.i.j.k = 1",
        "\r",
        "\ud800 = 1",
        "a = { b = }}}\nc = 2",
    ],
)
def test_what_is_no_toml_raises_nothing(text: str) -> None:
    assert Lines(text).line_of("a", "b") >= 1


@given(st.text(alphabet="[]{}=.,\"'#\\ \t\r\nab1é", max_size=60))
def test_no_text_at_all_raises(text: str) -> None:
    assert 1 <= Lines(text).line_of("a", "b") <= text.count("\n") + 1


# Against tomllib

KEYS = st.sampled_from(["a", "b", "c-d", "e_1", "7"])
QUOTED = st.sampled_from(['"a.b"', "'c d'", '"\\u0061x"', '"#"', "']'", '""', '"="'])
PARTS = st.lists(KEYS | QUOTED, min_size=1, max_size=3)
TEXTS = st.text(alphabet="ab\"'#[]{}=\\,. \n", max_size=12)


def as_multiline(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"""', '""\\"')
    # A quote at the end may stand right before those that close the string, two of them at most.
    return f'"""{escaped}"""'


def as_literal(text: str) -> str:
    return f"'''{text}'''" if "'''" not in text and not text.endswith("'''") else "''"


def as_string(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


STRINGS = TEXTS.map(as_multiline) | TEXTS.map(as_literal) | TEXTS.map(as_string)
SCALARS = STRINGS | st.sampled_from(["1", "true", "-1.5e3", "1979-05-27", "07:32:00", "0xff"])
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: "[ # ]\n" + ",\n".join(items) + "\n]")
        | st.lists(inner.filter(lambda text: "\n" not in text), max_size=2).map(
            lambda items: "{" + ", ".join(f"k{n} = {item}" for n, item in enumerate(items)) + "}"
        )
    ),
    max_leaves=6,
)
ASSIGNMENTS = st.tuples(PARTS, VALUES).map(lambda pair: f"{' . '.join(pair[0])} = {pair[1]}")
HEADERS = PARTS.map(lambda parts: f"[ {'.'.join(parts)} ]")
STATEMENTS = st.lists(ASSIGNMENTS | HEADERS | st.just("# a = 1 [b]") | st.just(""), max_size=8)


def leaves(table: dict[str, Any], keys: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    """Every key outside of arrays that is not a table, with its value."""
    found: dict[tuple[str, ...], Any] = {}
    for key, value in table.items():
        if isinstance(value, dict):
            found |= leaves(value, (*keys, key))
        else:
            found[(*keys, key)] = value
    return found


@given(STATEMENTS)
@example(['a = """x""""', 'b = """"""', "c = ''''x'''''", 'd = """a\\""""'])
@example(['a = ["""x"""", "[",\n]', "b = 1"])
@example(["a = ['''x'''', '[',\n]", "b = 1"])
@example(["[a.b]", "x = {y = 1}", "[a]", 'b.c = ["]"]'])
def test_up_to_the_line_a_key_is_not_there_and_behind_its_statement_it_is(statements: list[str]) -> None:
    kept: list[str] = []
    for statement in statements:
        # One after the other, so that what TOML forbids (two values of a key) is left out.
        try:
            tomllib.loads("\n".join([*kept, statement]))
        except tomllib.TOMLDecodeError:
            continue
        kept.append(statement)
    text = "\n".join(kept)
    lines = Lines(text)
    starts = [1 + sum(one.count("\n") + 1 for one in kept[:index]) for index in range(len(kept))]
    for keys in leaves(tomllib.loads(text)):
        line = lines.line_of(*keys)
        index = starts.index(line)
        assert keys not in leaves(tomllib.loads("\n".join(kept[:index])))
        assert keys in leaves(tomllib.loads("\n".join(kept[: index + 1])))

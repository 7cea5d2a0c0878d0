"""Line numbers of TOML keys, which messages about mistakes begin with."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seedream_cli.sync.toml_lines import TomlLineIndex

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
        *(("defaults", 2), ("defaults dir", 3), ("assets", 5), ("assets hero", 5)),
        *(("assets hero prompt", 6), ("assets hero take", 10), ("assets logo.v2", 11)),
        *(("assets logo.v2 prompt", 12), ("assets logo.v2 take", 11), ("assets logo.v2 list", 15)),
        *(("assets logo.v2 list 2 take", 15), ("assets logo.v2 inline prompt", 20)),
        *(("assets logo.v2 nested deep key", 23), ("assets logo.v2 nested", 23), ("array", 24)),
        *(("array key", 25), ("array other", 27), ("assets late inner x", 29), ("assets late", 30)),
        *(("assets late y", 31), ("assets late path", 30), ("assets nobody prompt", 5), ("nothing", 1)),
        ("", 1),
    ],
)
@pytest.mark.parametrize("ends", ["\n", "\r\n"], ids=["LF", "CRLF"])
def test_line_of_key(key: str, line: int, ends: str) -> None:
    tomllib.loads(MANIFEST)
    assert TomlLineIndex(MANIFEST.replace("\n", ends)).line_of(*key.split()) == line


def test_line_of_key_in_multiline_inline_table() -> None:
    lines = TomlLineIndex("# 1\na = {\n  x = 1,\n}\nb = 2")
    assert (lines.line_of("a", "x"), lines.line_of("x"), lines.line_of("b")) == (2, 1, 5)


@pytest.mark.parametrize(
    "text",
    [
        'a = """x""""\nd = """a\\""""',
        "c = ''''x'''''",
        'b = """"""',
        'a = ["""x"""", "[",\n]',
        "a = ['''x'''', '[',\n]",
        '[a.b]\nx = {y = 1}\n[a]\nc.d = ["]"]',
        '"a.b" . \'c d\' . "\\u0061x" . "#" . \']\' . "" . "=" = 7',
        'a = """\n[x]\n\\"""z = 1"""',
    ],
)
def test_line_of_key_after_any_value(text: str) -> None:
    text += "\nlast = 1"
    table = ("a",) if "[a]" in text else ()
    tomllib.loads(text)
    assert TomlLineIndex(text).line_of(*table, "last") == text.count("\n") + 1


INVALID_TOML = (
    *("[", '[a."', "a = [1,\n", 'a = """\n', 'a = "\\', "a = 'b\nc = 1", "]]]\n\na", "= 1\n.a = 2", "\r"),
    *('"\\q" = 1', "a.b.c.d.e.f.g.h.i.j.k = 1", "\ud800 = 1", "a = { b = }}}\nc = 2"),
)


@given(st.sampled_from(INVALID_TOML) | st.text(alphabet="[]{}=.,\"'#\\ \t\r\nab1é", max_size=60))
def test_line_of_key_in_any_text(text: str) -> None:
    assert 1 <= TomlLineIndex(text).line_of("a", "b") <= text.count("\n") + 1

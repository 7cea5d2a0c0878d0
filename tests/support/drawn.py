"""What terminals make of pictures: their byte streams read back."""

from __future__ import annotations

import re
from base64 import b64decode

Pixels = list[list[tuple[int, int, int]]]


def kitty(raw: bytes) -> tuple[dict[str, str], bytes]:
    """The keys of the first piece, and the file that all pieces are."""
    pieces = re.findall(rb"\x1b_G([^;]*);([A-Za-z0-9+/=]*)\x1b\\", raw)
    keys = [dict(one.split("=") for one in piece.decode().split(",")) for piece, _ in pieces]
    assert [one.pop("m") for one in keys] == ["1"] * (len(keys) - 1) + ["0"]
    assert all(one == {"q": "2"} for one in keys[1:])
    assert all(len(data) == 4096 for _, data in pieces[:-1])
    assert len(pieces[-1][1]) <= 4096
    return keys[0], b"".join(b64decode(data, validate=True) for _, data in pieces)


def iterm2(raw: bytes) -> tuple[dict[str, str], bytes]:
    """The arguments, and the file."""
    [(arguments, data)] = re.findall(rb"\x1b\]1337;File=([^:]*):([A-Za-z0-9+/=]*)\x07", raw)
    return dict(one.split("=") for one in arguments.decode().split(";")), b64decode(data, validate=True)


_SIXEL = re.compile(
    rb"#(?P<colour>\d+)(?:;2;(?P<parts>\d+;\d+;\d+))?|!(?P<count>\d+)(?P<run>[?-~])|(?P<one>[?-~])"
    rb"|(?P<back>\$)|(?P<down>-)"
)


def sixel(raw: bytes) -> Pixels:
    """The pixels, each of which has to be drawn exactly once; colours are rounded to whole percents."""
    [(size, body)] = re.findall(rb'\x1bP0;1q"1;1;(\d+;\d+)([^\x1b]*)\x1b\\', raw, re.DOTALL)
    width, height = map(int, size.split(b";"))
    palette: dict[int, tuple[int, int, int]] = {}
    drawn: dict[tuple[int, int], int] = {}
    x = y = at = colour = 0
    while at < len(body):
        found = _SIXEL.match(body, at)
        assert found, body[at : at + 20]
        at = found.end()
        if found["parts"]:
            red, green, blue = (round(int(part) * 2.55) for part in found["parts"].split(b";"))
            palette[int(found["colour"])] = red, green, blue
        elif found["colour"]:
            colour = int(found["colour"])
        elif found["back"]:
            x = 0
        elif found["down"]:
            x, y = 0, y + 6
        else:
            bits = (found["run"] or found["one"])[0] - 63
            for column in range(x, x + int(found["count"] or 1)):
                for row in range(6):
                    if bits >> row & 1:
                        assert (column, y + row) not in drawn
                        drawn[column, y + row] = colour
            x += int(found["count"] or 1)
    assert len(drawn) == width * height
    return [[palette[drawn[column, row]] for column in range(width)] for row in range(height)]

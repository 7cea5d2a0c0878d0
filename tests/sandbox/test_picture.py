from __future__ import annotations

import hashlib
import importlib.util
import io
import time
from typing import Any

import pytest
from PIL import Image
from sandbox.caller import Caller, fetch

from seedream_cli.catalog import ASPECT_RATIOS
from seedream_cli.sandbox import picture
from seedream_cli.sandbox.server import Sandbox

pytestmark = pytest.mark.slow

BODY = {"model": "seedream-v4.5", "prompt": "a red fox in snow", "aspect_ratio": "16:9", "quality": "2K"}

#: Ratio → that of its pixels, where the name is rounded.
EXACT = {"21:9": 3024 / 1296}


@pytest.mark.parametrize("ratio", ASPECT_RATIOS)
def test_picture_size_of_every_ratio(ratio: str) -> None:
    width, height = picture.size(ratio, "2K")
    across, down = (int(part) for part in ratio.split(":"))
    assert width / height == pytest.approx(EXACT.get(ratio, across / down), rel=0.001)


@pytest.mark.parametrize("ratio", ["1:1", "21:9", "9:16"])
def test_picture_is_complete_png(ratio: str) -> None:
    png = picture.draw({**BODY, "aspect_ratio": ratio})
    with Image.open(io.BytesIO(png)) as image:
        image.load()
        assert (image.format, image.mode, image.size) == ("PNG", "RGB", picture.size(ratio, "2K"))
    assert 0.3e6 < len(png) < 8e6


def test_picture_4k_time_and_size() -> None:
    def seconds(quality: str) -> tuple[float, bytes]:
        began = time.process_time()
        png = picture.draw({**BODY, "aspect_ratio": "1:1", "quality": quality})
        return time.process_time() - began, png

    seconds("2K")
    small, _ = seconds("2K")
    large, png = seconds("4K")
    # It has four times the pixels. A scene drawn at full size would take much longer.
    assert large < 10 * small
    assert 0.3e6 < len(png) < 8e6


def test_picture_is_deterministic() -> None:
    digests = {hashlib.sha256(picture.draw(dict(reversed(BODY.items())))).digest() for _ in range(2)}
    assert digests == {hashlib.sha256(picture.draw(BODY)).digest()}
    assert picture.draw({**BODY, "prompt": "a red fox in sno"}) != picture.draw(BODY)


@pytest.mark.parametrize(
    "prompt", ["🐈‍⬛🌙", "\ud800", "\x1b[31m", " \n ", "\u200b", "x" * 4000, "狐" * 4000]
)
def test_picture_of_any_prompt(prompt: str) -> None:
    with Image.open(io.BytesIO(picture.draw({"prompt": prompt}))) as image:
        assert image.size == (2048, 2048)


def test_server_without_pillow(start: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    sandbox: Sandbox = start(draw=None)
    response = fetch(Caller(sandbox).image_url())
    assert response.status == 500
    assert b"apipod-seedream[sandbox]" in response.raw

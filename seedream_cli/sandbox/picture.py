"""The sandbox's pictures: a landscape at dusk with the prompt as text.

Equal request bodies give equal pictures. Only this module needs Pillow. It is imported for the first picture,
so that a server can start without it.
"""

from __future__ import annotations

import colorsys
import functools
import hashlib
import importlib.util
import json
import math
import random
import unicodedata
import zlib
from collections.abc import Mapping
from io import BytesIO
from typing import TYPE_CHECKING

from msgspec import Struct

from ..catalog import DEFAULT_ASPECT_RATIO, DEFAULT_QUALITY
from .lettering import chinese_fonts, is_dash, set_text, tidy, western_fonts

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFont import FreeTypeFont

#: Aspect ratio → pixels in 2K, as the service makes them.
_SIZES: Mapping[str, tuple[int, int]] = {
    "1:1": (2048, 2048),
    "4:3": (2304, 1728),
    "3:4": (1728, 2304),
    "16:9": (2560, 1440),
    "9:16": (1440, 2560),
    "3:2": (2496, 1664),
    "2:3": (1664, 2496),
    "21:9": (3024, 1296),
}
_SCALES: Mapping[str, float] = {"2K": 1.0, "3K": 1.5, "4K": 2.0}

#: Layers of hills.
_LAYERS = 5
#: The scene is soft: drawn at a quarter of the size and enlarged, it looks the same.
_REDUCTION = 4
#: Height of the horizon, as a share of the picture's height from the top.
_HORIZON = 0.60
#: Font size in pixels at which glyphs are compared with the box that is drawn for a missing one.
_PROBE_PIXELS = 32

Colour = tuple[int, int, int]

#: Moods: hue at the zenith, hue at the horizon, brightness of the sky (0 to 1).
_MOODS = (
    (0.64, 0.055, 0.62),  # Indigo over amber.
    (0.72, 0.950, 0.60),  # Violet over rose.
    (0.57, 0.105, 0.70),  # Blue over gold.
    (0.60, 0.985, 0.66),  # Steel blue over coral.
    (0.52, 0.130, 0.68),  # Teal over straw.
    (0.67, 0.870, 0.56),  # Deep blue over orchid.
    (0.55, 0.600, 0.52),  # A night in blues.
    (0.47, 0.160, 0.64),  # Sea green over pale lime.
)


class PillowMissing(RuntimeError):
    """Pictures cannot be drawn on this machine."""

    def __init__(self) -> None:
        super().__init__("the sandbox draws with Pillow: pip install 'apipod-seedream[sandbox]'")


def require() -> None:
    """Raise PillowMissing if pictures cannot be drawn, without loading Pillow."""
    if importlib.util.find_spec("PIL") is None:
        raise PillowMissing


def size(aspect_ratio: str, quality: str) -> tuple[int, int]:
    """Return width and height in pixels. Raises KeyError for values that the API does not know."""
    width, height = _SIZES[aspect_ratio]
    scale = _SCALES[quality]
    return round(width * scale), round(height * scale)


def draw(body: Mapping[str, object]) -> bytes:
    """Draw a PNG for a request body, in the size that it asks for. Raises PillowMissing."""
    require()
    ratio = str(body.get("aspect_ratio", DEFAULT_ASPECT_RATIO))
    quality = str(body.get("quality", DEFAULT_QUALITY))
    chance = random.Random(_seed(body))  # noqa: S311 - for looks, and it has to repeat itself
    width, height = size(ratio, quality)
    image = _scene(chance, width // _REDUCTION, height // _REDUCTION)
    from PIL.Image import Resampling

    image = image.resize((width, height), Resampling.BICUBIC)
    _add_text(image, str(body.get("prompt", "")), f"seedream sandbox · {ratio} · {quality}")
    png = BytesIO()
    # Run lengths suit smooth colours with a grain: faster and a fifth smaller than the default.
    image.save(png, "PNG", compress_level=1, compress_type=zlib.Z_RLE)
    return png.getvalue()


def _seed(body: Mapping[str, object]) -> int:
    canonical = json.dumps(body, sort_keys=True)
    return int.from_bytes(hashlib.sha256(canonical.encode()).digest(), "big")


def _scene(chance: random.Random, width: int, height: int) -> Image:
    colours = _choose_palette(chance, _LAYERS)
    image = _sky(colours, width, height)
    _add_disc(image, colours, chance)
    _add_hills(image, colours, chance)
    _add_shade(image)
    return _add_grain(image, chance)


def _sky(colours: Palette, width: int, height: int) -> Image:
    from PIL import Image, ImageFilter

    # Blurred at the end, to hide the edge between two gradients.
    column = Image.new("RGB", (1, height))
    stops = len(colours.sky) - 1
    for y in range(height):
        position = min(1.0, y / (height * _HORIZON)) * stops
        stop = min(int(position), stops - 1)
        column.putpixel((0, y), _mix(colours.sky[stop], colours.sky[stop + 1], position - stop))
    return column.filter(ImageFilter.GaussianBlur(height * 0.05)).resize((width, height))


def _add_disc(image: Image, colours: Palette, chance: random.Random) -> None:
    from PIL import Image, ImageDraw

    width, height = image.size
    short = min(width, height)
    x = round(width * chance.choice((chance.uniform(0.20, 0.36), chance.uniform(0.62, 0.80))))
    y = round(height * chance.uniform(0.24, 0.44))
    radius = round(short * chance.uniform(0.042, 0.062))
    # radial_gradient is black at the centre and white at the rim of its square's inscribed circle.
    gradient = Image.radial_gradient("L")
    for reach, strength in ((13.0, 0.40), (5.0, 0.42), (2.2, 0.45)):
        side = max(2, round(radius * reach * 2))
        fade = [round(max(0.0, 1 - level / 180) ** 2.2 * 255 * strength) for level in range(256)]
        halo = gradient.point(fade).resize((side, side), Image.Resampling.BICUBIC)
        image.paste(colours.glow, (x - side // 2, y - side // 2), halo)
    disc = Image.new("L", (radius * 8, radius * 8))
    ImageDraw.Draw(disc).ellipse((radius * 2, radius * 2, radius * 6, radius * 6), fill=245)
    disc = disc.resize((radius * 4, radius * 4), Image.Resampling.LANCZOS)
    image.paste(colours.disc, (x - radius * 2, y - radius * 2), disc)


def _add_hills(image: Image, colours: Palette, chance: random.Random) -> None:
    width, height = image.size
    # The number of hills depends on the width: a wide picture shows more of them.
    across = 1.1 * (width / height) ** 0.6
    for layer, colour in enumerate(colours.hills):
        depth = layer / (_LAYERS - 1)
        base = height * (_HORIZON - 0.05 + 0.30 * depth**1.25)
        relief = height * (0.030 + 0.035 * depth) * chance.uniform(0.85, 1.2)
        heights = _ridge_heights(chance, width * 2, base * 2, relief * 2, across * (2.6 - 1.7 * depth))
        _add_hill(image, heights, colour, colours.sky[-2], depth)


def _add_hill(image: Image, heights: list[float], colour: Colour, mist: Colour, depth: float) -> None:
    """Add a hill, drawn at twice the size for a smooth ridge, with mist towards its foot."""
    from PIL import Image, ImageDraw

    width, height = image.size
    mask = Image.new("L", (width * 2, height * 2))
    outline = [(float(x), y) for x, y in enumerate(heights)]
    ImageDraw.Draw(mask).polygon([*outline, (width * 2, height * 2), (0, height * 2)], fill=255)
    top = int(min(heights) / 2)
    foot = max(1, int(height * 0.24))
    column = Image.new("RGB", (1, height), colour)
    for y in range(max(0, top), height):
        share = min(1.0, (y - top) / foot) * 0.30 * (1 - depth)
        column.putpixel((0, y), _mix(colour, mist, share))
    image.paste(column.resize((width, height)), (0, 0), mask.reduce(2))


def _add_shade(image: Image) -> None:
    """Darken the foot, so that the text there can be read on every palette."""
    from PIL import Image

    width, height = image.size
    column = Image.new("L", (1, height))
    for y in range(height):
        column.putpixel((0, y), round(max(0.0, (y / height - 0.42) / 0.58) ** 1.3 * 165))
    image.paste((6, 8, 18), (0, 0), column.resize((width, height)))


def _add_grain(image: Image, chance: random.Random) -> Image:
    """Return the picture with a little noise. Without it, wide gradients show bands."""
    from PIL import Image, ImageChops

    noise = Image.frombytes("L", image.size, chance.randbytes(image.width * image.height))
    noise = noise.point([level * 3 // 256 for level in range(256)])
    return ImageChops.add(image, Image.merge("RGB", (noise, noise, noise)), offset=-1)


class Palette(Struct, frozen=True):
    """The colours of a scene, ``sky`` from zenith to horizon, ``hills`` from far to near."""

    sky: tuple[Colour, ...]
    hills: tuple[Colour, ...]
    disc: Colour
    glow: Colour


def _hsl(hue: float, saturation: float, lightness: float) -> Colour:
    """Convert a colour. All three numbers are from 0 to 1."""
    red, green, blue = colorsys.hls_to_rgb(hue % 1.0, lightness, saturation)
    return round(red * 255), round(green * 255), round(blue * 255)


def _mix(first: Colour, second: Colour, share: float) -> Colour:
    """Mix two colours. ``share`` (0 to 1) is that of ``second``."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return red, green, blue


def _choose_palette(chance: random.Random, layers: int) -> Palette:
    zenith_hue, horizon_hue, light = chance.choice(_MOODS)
    zenith_hue += chance.uniform(-0.02, 0.02)
    horizon_hue += chance.uniform(-0.015, 0.015)
    zenith = _hsl(zenith_hue, 0.48, 0.17 + 0.06 * light)
    high = _hsl(zenith_hue - 0.015, 0.40, 0.30 + 0.10 * light)
    middle = _mix(high, _hsl(horizon_hue, 0.38, 0.60), 0.52)
    low = _hsl(horizon_hue, 0.54, 0.52 + 0.24 * light)
    horizon = _hsl(horizon_hue + 0.02, 0.74, 0.68 + 0.20 * light)
    near = _hsl(zenith_hue + 0.01, 0.42, 0.075)
    haze = _mix(low, high, 0.42)
    hills = tuple(_mix(haze, near, ((layer + 0.6) / (layers - 0.4)) ** 0.8) for layer in range(layers))
    glow = _hsl(horizon_hue + 0.015, 0.90, 0.82)
    return Palette((zenith, high, middle, low, horizon), hills, _mix(glow, (255, 255, 255), 0.55), glow)


def _ridge_heights(
    chance: random.Random, width: int, base: float, relief: float, waves: float
) -> list[float]:
    """Return the heights of a ridge for x = 0…width-1.

    ``base`` is its mean and ``relief`` its amplitude, both in pixels from the top; ``waves`` is the number of
    hills across the picture.
    """
    parts = [
        (waves * 1.9**octave * chance.uniform(0.85, 1.15), chance.uniform(0, math.tau), 0.46**octave)
        for octave in range(5)
    ]
    step = math.tau / width
    return [
        base - relief * sum(size * math.sin(x * step * wave + phase) for wave, phase, size in parts)
        for x in range(width)
    ]


def _add_text(image: Image, prompt: str, caption: str) -> None:
    """Add the prompt as large text above a small caption."""
    from PIL import Image, ImageDraw, ImageFilter

    width, height = image.size
    short = min(width, height)
    margin = round(short * 0.07)
    prompt = tidy(prompt)
    font_path = _choose_font(prompt)
    text = _drawable(prompt, font_path)
    caption_font = _font("", round(short * 0.0185))
    ImageDraw.Draw(image, "RGBA").text(
        (margin, height - margin), caption, font=caption_font, fill=(255, 255, 255, 150), anchor="ls"
    )
    if not text:
        return
    column = min(width - 2 * margin, short * 1.25)
    lines, pixels = set_text(text, column, short, lambda part, size: _font(font_path, size).getlength(part))
    font = _font(font_path, pixels)
    leading = round(pixels * 1.32)
    foot = height - margin - round(short * 0.06)
    top = foot - leading * len(lines)
    words = Image.new("L", (width, height - top + leading))
    pen = ImageDraw.Draw(words)
    for number, line in enumerate(lines, start=1):
        pen.text((margin, number * leading), line, font=font, fill=255, anchor="ls")
    soft = words.reduce(8).filter(ImageFilter.GaussianBlur(pixels / 40)).resize(words.size)
    image.paste((0, 0, 8), (0, top + pixels // 24), soft.point([level * 130 // 255 for level in range(256)]))
    image.paste((255, 252, 246), (0, top), words.point([level * 240 // 255 for level in range(256)]))


@functools.lru_cache(maxsize=16)
def _font(font_path: str, pixels: int) -> FreeTypeFont:
    """Return the font of a file, or Pillow's own for an empty path."""
    from PIL import ImageFont

    if font_path:
        return ImageFont.truetype(font_path, pixels)
    font = ImageFont.load_default(pixels)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise PillowMissing  # Built without FreeType: letters of one size only.
    return font


@functools.cache
def _fonts() -> tuple[str, ...]:
    """Return Pillow's own font (""), then the first Western and the first Chinese font that can be loaded."""
    fonts = [""]
    for paths in (western_fonts(), chinese_fonts()):
        for path in paths:
            try:
                _font(str(path), _PROBE_PIXELS)
            except OSError:
                continue
            fonts.append(str(path))
            break
    return tuple(fonts)


def _choose_font(text: str) -> str:
    """Return the font with most characters of a text. Pillow's own wins a tie: it is the same everywhere."""
    return max(_fonts(), key=lambda path: sum(not is_dash(char) for char in _known_characters(text, path)))


def _known_characters(text: str, font_path: str) -> set[str]:
    """Return the characters of a text for which a font has a glyph. Others would be drawn as boxes."""
    font = _font(font_path, _PROBE_PIXELS)
    box = bytes(font.getmask("\U0010ffff"))
    return {char for char in set(text) if char.isspace() or bytes(font.getmask(char)) not in (box, b"")}


def _drawable(text: str, font_path: str) -> str:
    """Replace characters that the font does not have by plain ones, or remove them."""
    replacements = {
        char: "-" if is_dash(char) else unicodedata.normalize("NFKD", char)[0]
        for char in set(text) - _known_characters(text, font_path)
    }
    known = _known_characters("".join(replacements.values()), font_path)
    replacements = {char: other if other in known else "" for char, other in replacements.items()}
    return " ".join("".join(replacements.get(char, char) for char in text).split())

"""Colours and landforms of a picture, chosen from a digest: plain numbers, nothing is drawn here."""

from __future__ import annotations

import colorsys
import math
import random

from msgspec import Struct

Colour = tuple[int, int, int]

#: Dusk moods: hue of the zenith, hue at the horizon, how far the sky is lit (0…1).
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


class Palette(Struct, frozen=True):
    """``sky`` runs from zenith to horizon; ``hills`` from the farthest to the nearest."""

    sky: tuple[Colour, ...]
    hills: tuple[Colour, ...]
    disc: Colour
    glow: Colour


def hsl(hue: float, saturation: float, lightness: float) -> Colour:
    red, green, blue = colorsys.hls_to_rgb(hue % 1.0, lightness, saturation)
    return round(red * 255), round(green * 255), round(blue * 255)


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """``share`` is how much of ``second`` there is, 0…1."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return red, green, blue


def palette(chance: random.Random, layers: int) -> Palette:
    zenith_hue, horizon_hue, light = chance.choice(_MOODS)
    zenith_hue += chance.uniform(-0.02, 0.02)
    horizon_hue += chance.uniform(-0.015, 0.015)
    zenith = hsl(zenith_hue, 0.48, 0.17 + 0.06 * light)
    high = hsl(zenith_hue - 0.015, 0.40, 0.30 + 0.10 * light)
    middle = mix(high, hsl(horizon_hue, 0.38, 0.60), 0.52)
    low = hsl(horizon_hue, 0.54, 0.52 + 0.24 * light)
    horizon = hsl(horizon_hue + 0.02, 0.74, 0.68 + 0.20 * light)
    near = hsl(zenith_hue + 0.01, 0.42, 0.075)
    haze = mix(low, high, 0.42)
    hills = tuple(mix(haze, near, ((layer + 0.6) / (layers - 0.4)) ** 0.8) for layer in range(layers))
    glow = hsl(horizon_hue + 0.015, 0.90, 0.82)
    return Palette((zenith, high, middle, low, horizon), hills, mix(glow, (255, 255, 255), 0.55), glow)


def ridge(chance: random.Random, width: int, base: float, relief: float, waves: float) -> list[float]:
    """Heights of a ridge for x = 0…width-1: ``base`` is its mean, ``relief`` its amplitude, both in
    pixels from the top; ``waves`` is how many hills it has across the picture."""
    parts = [
        (waves * 1.9**octave * chance.uniform(0.85, 1.15), chance.uniform(0, math.tau), 0.46**octave)
        for octave in range(5)
    ]
    step = math.tau / width
    return [
        base - relief * sum(size * math.sin(x * step * wave + phase) for wave, phase, size in parts)
        for x in range(width)
    ]

"""Where fonts with more characters than Pillow's own may be found on Linux, macOS and Windows."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

#: File names from the most to the least pleasant, as they begin, in lower case.
_CHINESE = (
    "notosanscjk-regular",
    "notosanscjksc-regular",
    "notosanssc",
    "sourcehansanssc-regular",
    "sourcehansans-regular",
    "pingfang",
    "hiragino sans gb",
    "msyh.",
    "wqy-microhei",
    "wqy-zenhei",
    "droidsansfallback",
    "stheiti",
    "simhei",
    "arial unicode",
)
_WESTERN = (
    "notosans-regular",
    "segoeui.",
    "helveticaneue",
    "dejavusans.",
    "liberationsans-regular",
    "arial.",
)
_SUFFIXES = frozenset({".ttf", ".ttc", ".otf", ".otc"})


def _folders() -> list[Path]:
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA", "")
        folders = [Path(os.environ.get("WINDIR", r"C:\Windows"), "Fonts")]
        return [*folders, Path(local, "Microsoft", "Windows", "Fonts")] if local else folders
    home = Path(os.path.expanduser("~"))
    if sys.platform == "darwin":
        return [Path("/System/Library/Fonts"), Path("/Library/Fonts"), home / "Library/Fonts"]
    shared = [Path("/usr/share/fonts"), Path("/usr/local/share/fonts")]
    return [*shared, home / ".local/share/fonts", home / ".fonts"]


def chinese_fonts() -> Iterator[Path]:
    """Fonts with Chinese characters that are there, best first."""
    return _installed(_CHINESE)


def western_fonts() -> Iterator[Path]:
    """Fonts with Latin, Greek and Cyrillic letters that are there, best first."""
    return _installed(_WESTERN)


def _installed(names: tuple[str, ...]) -> Iterator[Path]:
    found = [
        Path(folder, file)
        for root in _folders()
        for folder, _, files in os.walk(root)
        for file in files
        if os.path.splitext(file)[1].lower() in _SUFFIXES
    ]
    for name in names:
        yield from sorted(path for path in found if path.name.lower().startswith(name))

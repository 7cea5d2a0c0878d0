"""Wheels of what is installed here, so that installers can be tried without an index."""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement

#: What an installer adds to a distribution's metadata.
_ADDED = {"INSTALLER", "REQUESTED", "RECORD", "direct_url.json"}


def pack_requirements(folder: Path, *names: str) -> None:
    """Write a wheel of each of these distributions, and of all that they require."""
    for distribution in _with_requirements(names):
        _pack(distribution, folder)


def _with_requirements(names: tuple[str, ...]) -> Iterator[importlib.metadata.Distribution]:
    seen: set[tuple[str, str]] = set()
    wanted = [(Requirement(name), "") for name in names]
    while wanted:
        requirement, of_extra = wanted.pop()
        if requirement.marker and not requirement.marker.evaluate({"extra": of_extra}):
            continue
        name = re.sub("[-_.]+", "-", requirement.name).lower()
        distribution = importlib.metadata.distribution(name)
        if (name, "") not in seen:
            yield distribution
        for extra in {"", *requirement.extras}:
            if (name, extra) not in seen:
                seen.add((name, extra))
                wanted += [(Requirement(text), extra) for text in distribution.requires or ()]


def _pack(distribution: importlib.metadata.Distribution, folder: Path) -> None:
    described = distribution.read_text("WHEEL") or ""
    tags = [tag.split("-") for tag in re.findall(r"^Tag: (\S+)$", described, re.MULTILINE)]
    tag = "-".join(".".join(dict.fromkeys(part)) for part in zip(*tags, strict=True))
    name = re.sub("[-_.]+", "_", distribution.metadata["Name"])
    record = ""
    # Stored as they are: nobody keeps them.
    with zipfile.ZipFile(folder / f"{name}-{distribution.version}-{tag}.whl", "w") as wheel:
        for file in distribution.files or ():
            # Scripts and what stands outside of the library are made by whoever installs it.
            if file.parts[0] == ".." or "__pycache__" in file.parts or file.name in _ADDED:
                continue
            data = file.read_binary()
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")
            record += f'"{file.as_posix()}",sha256={digest},{len(data)}\n'
            wheel.writestr(file.as_posix(), data)
            if file.name == "METADATA":
                its_record = file.with_name("RECORD").as_posix()
        wheel.writestr(its_record, f'{record}"{its_record}",,\n')

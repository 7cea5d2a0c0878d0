"""Who is to be where: no two images have one path, on any system."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from .wanted import Wanted, same_file_key

#: An asset's name, and the number of its image if it has several, else 0. Of the project itself: "".
_Owner = tuple[str, int]


class Places:
    """The paths that are spoken for. ``reserved`` are names of the project's folder, and what has them."""

    def __init__(self, reserved: Mapping[str, str]) -> None:
        self._reserved = {same_file_key(name): what for name, what in reserved.items()}
        self._files: dict[str, _Owner] = dict.fromkeys(self._reserved, ("", 0))
        self._folders: dict[str, _Owner] = {"": ("", 0)}

    def claim(self, wanted: Wanted, owner: _Owner) -> str | None:
        """Speak for every path that ``wanted`` can become; what is wrong with that, if anything."""
        keys = wanted.same_file_keys
        for index, key in enumerate(keys):
            if key in self._files:
                return f"leads to {wanted.paths[index]}, which is the place of {self._shown(key)}"
        for key in keys:
            self._files[key] = owner
        folder = keys[0].rpartition("/")[0]
        while folder not in self._folders:
            self._folders[folder] = owner
            folder = folder.rpartition("/")[0]
        return None

    def under_files(self) -> Iterator[tuple[str, str]]:
        """Assets whose paths lead through what is another image's file, and what is wrong with them."""
        for folder, (name, _) in self._folders.items():
            if folder in self._files:
                yield name, f"leads through {folder}, which is the place of {self._shown(folder)}"

    def _shown(self, key: str) -> str:
        name, number = self._files[key]
        if key in self._reserved:
            return self._reserved[key]
        return f"image {number} of assets.{name}" if number else f"assets.{name}"

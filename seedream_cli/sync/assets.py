"""An asset and its images: what is asked for, and what tells that it is the same as before."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator

from msgspec import Struct

from ..images.source_images import SourceImage
from ..models import GenerationRequest
from ..request_fields import IMAGE_FIELDS, REQUEST_FIELDS
from .path_template import TargetPath

#: The smallest text of JSON: the same request has the same on every machine.
_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def digest_of(request: GenerationRequest) -> str:
    """SHA-256 (hex) of the request's exact body, in canonical JSON.

    Left out is what does not change the picture: today, the callback's URL. Name, number, path and
    take are no part of a body. An image that goes as data stands in it with its kind, size and SHA-256:
    another one is another digest.
    """
    body = request.body()
    for name in REQUEST_FIELDS.keys() - IMAGE_FIELDS.keys():
        body.pop(name, None)
    return hashlib.sha256(_CANONICAL.encode(body).encode("utf-8")).hexdigest()


def idempotency_key(digest: str, take: int, number: int, attempt: int = 0) -> str:
    """The key of one image's create: the same on every machine and in every run.

    A task that failed, or whose URLs are dead, is left behind by the next ``attempt`` (0…).
    """
    text = f"seedream sync {digest} take {take} image {number} attempt {attempt}"
    return f"sync-{hashlib.sha256(text.encode('ascii')).hexdigest()}"


def label_of(name: str, number: int) -> str:
    """One of several images of an asset; no asset's name has brackets."""
    return f"{name}[{number}]"


class Image(Struct, frozen=True):
    """Image ``number`` (1…) of the asset ``name``. ``take`` (1…) rolls again when it is raised.

    ``several``: the asset has more than this one.
    """

    name: str
    number: int
    request: GenerationRequest
    digest: str
    take: int
    wanted: TargetPath
    several: bool = False

    @property
    def label(self) -> str:
        """The image in one word, which no other image has."""
        return label_of(self.name, self.number) if self.several else self.name

    @property
    def key(self) -> tuple[str, int]:
        """What the lock's lines are sorted by."""
        return (self.name, self.number)

    def idempotency_key(self, attempt: int = 0) -> str:
        return idempotency_key(self.digest, self.take, self.number, attempt)


class Asset(Struct, frozen=True):
    """A named set of images that one request asks for. ``wanted`` has the path of each, in order.

    ``sources`` are its source images, which a create needs.
    """

    name: str
    request: GenerationRequest
    digest: str
    take: int
    wanted: tuple[TargetPath, ...]
    sources: tuple[SourceImage, ...] = ()

    @property
    def count(self) -> int:
        return len(self.wanted)

    def images(self) -> Iterator[Image]:
        for number, wanted in enumerate(self.wanted, 1):
            yield Image(self.name, number, self.request, self.digest, self.take, wanted, self.count > 1)

"""Assets and their images: the request, its digest, and the idempotency key derived from it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator

from msgspec import Struct

from ..images.source_images import SourceImage
from ..models import GenerationRequest
from ..request_fields import IMAGE_FIELDS, REQUEST_FIELDS
from .path_template import TargetPath

#: Canonical JSON (sorted keys, no spaces): the same request has the same text on every machine.
_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def digest_of(request: GenerationRequest) -> str:
    """Return the SHA-256 (hex) of the request's body in canonical JSON.

    Fields that do not change the image, such as the callback URL, are left out. Name, number, path and take
    are not part of a body. A source image that is sent as data is represented by its format, size and
    SHA-256, so that a different image gives a different digest.
    """
    body = request.body()
    for name in REQUEST_FIELDS.keys() - IMAGE_FIELDS.keys():
        body.pop(name, None)
    return hashlib.sha256(_CANONICAL.encode(body).encode("utf-8")).hexdigest()


def idempotency_key(digest: str, take: int, number: int, attempt: int = 0) -> str:
    """Return the idempotency key of one image's create request: the same on every machine and in every run.

    If a task has failed or its result URLs are dead, the next ``attempt`` (from 0) asks for another task.
    """
    text = f"seedream sync {digest} take {take} image {number} attempt {attempt}"
    return f"sync-{hashlib.sha256(text.encode('ascii')).hexdigest()}"


def label_of(name: str, number: int) -> str:
    """Return the label of one of several images of an asset. It is unique: asset names have no brackets."""
    return f"{name}[{number}]"


class Image(Struct, frozen=True):
    """Image ``number`` (from 1) of the asset ``name``."""

    name: str
    number: int
    request: GenerationRequest
    digest: str
    #: From 1. A higher take asks for another image of the same request.
    take: int
    target: TargetPath
    #: True if the asset has more than this image.
    several: bool = False

    @property
    def label(self) -> str:
        """Return the image's unique name in one word, such as ``badge[2]``."""
        return label_of(self.name, self.number) if self.several else self.name

    @property
    def key(self) -> tuple[str, int]:
        """Return the sort key of the image's lockfile entry."""
        return (self.name, self.number)

    def idempotency_key(self, attempt: int = 0) -> str:
        return idempotency_key(self.digest, self.take, self.number, attempt)


class Asset(Struct, frozen=True):
    """A named set of images with the same request."""

    name: str
    request: GenerationRequest
    digest: str
    take: int
    #: The path of each image, in order.
    targets: tuple[TargetPath, ...]
    #: The source images, which must be attached to a create request.
    sources: tuple[SourceImage, ...] = ()

    @property
    def count(self) -> int:
        return len(self.targets)

    def images(self) -> Iterator[Image]:
        for number, target in enumerate(self.targets, 1):
            yield Image(self.name, number, self.request, self.digest, self.take, target, self.count > 1)

"""The AI models that the API offers, and the aspect ratios and qualities that they take.

Source: the API's reference at docs.apipod.ai (OpenAPI 3.1, August 2026).
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from .errors import InvalidRequest

DEFAULT_MODEL = "seedream-v4.5"
DEFAULT_ASPECT_RATIO = "1:1"
DEFAULT_QUALITY = "2K"

#: Aspect ratio → what it is commonly used for.
ASPECT_RATIOS: Mapping[str, str] = {
    "1:1": "avatars, social posts",
    "2:3": "portrait photography",
    "3:2": "landscape photography",
    "3:4": "magazine covers, posters",
    "4:3": "traditional photos",
    "16:9": "thumbnails, banners",
    "9:16": "phone wallpapers, short-video covers",
    "21:9": "cinematic frames, hero images",
}

#: Quality → what it is commonly used for.
QUALITIES: Mapping[str, str] = {
    "2K": "standard, faster",
    "3K": "larger, lite models",
    "4K": "print and large displays",
}


class Model(Struct, frozen=True):
    """One row of the API's table of models. ``prompt_limit`` counts code points."""

    name: str
    what: str
    prompt_limit: int
    qualities: tuple[str, ...]
    needs_images: bool = False
    max_images: int = 0
    #: The model that does the same from source images.
    edit_model: str | None = None


#: A new model is one more row. A model that is not here is sent as it is, with the server as its judge.
MODELS: Mapping[str, Model] = {
    row.name: row
    for row in (
        Model(
            "seedream-v4.5",
            "text to image",
            4000,
            ("2K", "4K"),
            edit_model="seedream-v4.5-edit",
        ),
        Model(
            "seedream-v4.5-edit",
            "image to image, 1 to 14 source images",
            4000,
            ("2K", "4K"),
            needs_images=True,
            max_images=14,
        ),
        Model("seedream-5.0-lite", "text to image", 2000, ("2K", "3K"), edit_model="seedream-5.0-lite-edit"),
        Model(
            "seedream-5.0-lite-edit",
            "image to image, source images required",
            2000,
            ("2K", "3K"),
            needs_images=True,
            max_images=14,
        ),
    )
}


def edit_model_for(model: str, models: Mapping[str, Model] = MODELS) -> str:
    """The model that takes source images where ``model`` was asked for: itself, or its edit form.

    One that the table does not know stays as it is. Raises InvalidRequest for one without an edit form.
    """
    row = models.get(model)
    if row is None or row.needs_images or row.max_images:
        return model
    if row.edit_model is None:
        editing = [name for name, each in models.items() if each.max_images]
        raise InvalidRequest(f"{model} takes no source images; {', '.join(editing) or 'no model'} would")
    return row.edit_model

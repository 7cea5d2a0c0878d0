"""AI models of the API, with the aspect ratios and qualities that they accept.

Source: the API's reference at docs.apipod.ai (OpenAPI 3.1, August 2026).
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from .errors import InvalidRequest

DEFAULT_MODEL = "seedream-v4.5"
DEFAULT_ASPECT_RATIO = "1:1"
DEFAULT_QUALITY = "2K"

#: Aspect ratios, and what each is commonly used for.
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

#: Qualities, and what each is commonly used for.
QUALITIES: Mapping[str, str] = {
    "2K": "standard, faster",
    "3K": "larger, lite models",
    "4K": "print and large displays",
}


class Model(Struct, frozen=True):
    """One row of the API's table of models. ``prompt_limit`` is in code points."""

    name: str
    what: str
    prompt_limit: int
    qualities: tuple[str, ...]
    needs_images: bool = False
    max_images: int = 0
    #: Name of the edit model: the one that does the same from source images.
    edit_model: str | None = None


#: To add a model, add a row. A model that is not listed is sent as it is: the API decides.
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
    """Return the model to use with source images: ``model`` itself if it accepts them, else its edit model.

    A model that is not listed is returned as it is. Raises InvalidRequest for a model without an edit model.
    """
    row = models.get(model)
    if row is None or row.needs_images or row.max_images:
        return model
    if row.edit_model is None:
        edit_models = [name for name, other in models.items() if other.max_images]
        raise InvalidRequest(f"{model} takes no source images; {', '.join(edit_models) or 'no model'} would")
    return row.edit_model

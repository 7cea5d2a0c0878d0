"""A value of each request field for tests that go over all fields."""

from __future__ import annotations

from typing import Any

#: Request field → a value that is not its default. A new field needs one.
VALUES: dict[str, Any] = {
    "model": "seedream-5.0-lite",
    "aspect_ratio": "16:9",
    "quality": "4K",
    "callback_url": "https://example.com/done",
}

"""Which bodies the service takes, and in which envelope it says no."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from seedream_cli.catalog import ASPECT_RATIOS, MODELS
from seedream_cli.sandbox.envelopes import Answer
from seedream_cli.sandbox.service import Service

IMAGE = "https://example.com/a.png"
KEY = {"authorization": "Bearer sk-test"}
Make = Callable[..., Service]


def create(service: Service, headers: Mapping[str, str] = KEY, **body: Any) -> Answer:
    return service.create(headers, json.dumps({"prompt": "a fox", **body}).encode())


EDIT = {"model": "seedream-v4.5-edit"}


BAD_BODIES: list[tuple[dict[str, Any], str]] = [
    ({"prompt": None}, "prompt is required"),
    ({"prompt": ""}, "prompt is required"),
    ({"prompt": 7}, "prompt must be a string"),
    ({"prompt": ["a"]}, "prompt must be a string"),
    ({"prompt": "狐" * 4001}, "4001 characters, at most 4000"),
    ({"prompt": "a" * 2001, "model": "seedream-5.0-lite"}, "2001 characters, at most 2000"),
    ({"model": 7}, "model must be a string"),
    ({"aspect_ratio": "1:2"}, "Invalid aspect_ratio value"),
    ({"aspect_ratio": None}, "Invalid aspect_ratio value"),
    ({"aspect_ratio": ["1:1"]}, "Invalid aspect_ratio value"),
    ({"quality": "2k"}, "Invalid quality value"),
    ({"quality": "3K"}, "Invalid quality value"),
    ({"quality": "4K", "model": "seedream-5.0-lite"}, "Invalid quality value"),
    ({"quality": 2}, "Invalid quality value"),
    ({"image_urls": [IMAGE]}, "image_urls is not supported by seedream-v4.5"),
    ({"image_urls": [IMAGE], "model": "seedream-5.0-lite"}, "image_urls is not supported"),
    (EDIT, "image_urls is required"),
    ({"model": "seedream-5.0-lite-edit"}, "image_urls is required"),
    ({**EDIT, "image_urls": []}, "array of 1 to 14"),
    ({**EDIT, "image_urls": [IMAGE] * 15}, "array of 1 to 14"),
    ({**EDIT, "image_urls": IMAGE}, "array of 1 to 14"),
    ({**EDIT, "image_urls": [IMAGE, 7]}, r"image_urls\[1\]"),
    ({**EDIT, "image_urls": ["ftp://example.com/a.png"]}, r"image_urls\[0\]"),
    ({**EDIT, "image_urls": ["https://"]}, r"image_urls\[0\]"),
    ({**EDIT, "image_urls": ["http://[::1/a.png"]}, r"image_urls\[0\]"),
    ({**EDIT, "image_urls": ["data:text/plain,hi"]}, r"image_urls\[0\]"),
    ({**EDIT, "image_urls": ["/home/me/a.png"]}, r"image_urls\[0\]"),
    ({"callback_url": "ftp://example.com"}, "callback_url must be"),
    ({"callback_url": None}, "callback_url must be"),
    ({"callback_url": IMAGE, "model": "seedream-5.0-lite"}, "callback_url is not supported"),
]


@pytest.mark.parametrize(("body", "message"), BAD_BODIES)
def test_a_body_that_breaks_a_rule_is_refused(make: Make, body: dict[str, Any], message: str) -> None:
    answer = create(make("live"), **body)
    assert (answer.status, answer.body["code"], answer.body["data"]) == (400, 400, None)
    assert re.search(message, answer.body["message"])


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"[]", b'"a"', b"null", b"\xff", b'{"prompt": NaN}', b"[" * 100_000]
)
@pytest.mark.parametrize("dialect", ["seed", "live"])
def test_what_is_no_json_object_is_refused(make: Make, dialect: str, raw: bytes) -> None:
    answer = make(dialect).create(KEY, raw)
    assert answer.status == 400
    if dialect == "seed":
        assert answer.body["error"]["code"] == "invalid_request"
        assert answer.body["error"]["type"] == "invalid_request_error"
    else:
        assert answer.body["data"] is None


def test_seed_names_the_machine_code_of_a_bad_parameter(make: Make) -> None:
    answer = create(make("seed"), aspect_ratio="1:2")
    assert answer.status == 400
    assert answer.body == {
        "error": {
            "message": "Invalid aspect_ratio value",
            "type": "invalid_request_error",
            "code": "invalid_parameter",
        }
    }


@pytest.mark.parametrize("model", MODELS.values(), ids=lambda model: model.name)
def test_everything_in_the_tables_is_accepted(make: Make, model: Any) -> None:
    service = make("live")
    for quality, ratio in itertools.product(model.qualities, ASPECT_RATIOS):
        body: dict[str, Any] = {"model": model.name, "aspect_ratio": ratio, "quality": quality}
        if model.needs_images:
            body["image_urls"] = [IMAGE] * 13 + ["data:image/png;base64,AAAA"]
        if model.takes_callback:
            body["callback_url"] = "https://example.com/hook"
        assert create(service, prompt="狐" * model.prompt_limit, **body).status == 200


@pytest.mark.parametrize(
    ("dialect", "model"), [("live", "dall-e"), ("seed", "dall-e"), ("seed", "seedream-5.0-lite")]
)
def test_a_model_that_is_not_there(make: Make, dialect: str, model: str) -> None:
    answer = create(make(dialect), model=model)
    assert answer.status == 404
    found = answer.body["error"]["code"] if dialect == "seed" else answer.body["data"]["error_code"]
    assert found == "model_not_available"

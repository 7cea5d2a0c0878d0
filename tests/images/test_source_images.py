"""Source images: reading and checking files and URLs, references, and data URIs."""

from __future__ import annotations

import hashlib
from base64 import b64decode
from collections.abc import Callable
from pathlib import Path

import pytest
from support.images import JPEG, png

from seedream_cli.catalog import MODELS, Model, edit_model_for
from seedream_cli.errors import InvalidRequest
from seedream_cli.images import source_images
from seedream_cli.images.source_images import (
    MAX_FILE_BYTES,
    MAX_REQUEST_BYTES,
    SourceImage,
    describe_source,
    is_reference,
    read_source_images,
)

WEBP = b"RIFF" + (22).to_bytes(4, "little") + b"WEBPVP8L" + (10).to_bytes(4, "little") + b"\x2f" + bytes(9)


def no_stdin(most: int) -> bytes:
    raise AssertionError("nobody asked for stdin")


def read(*texts: str, local: bool = False, stdin: Callable[[int], bytes] = no_stdin) -> list[SourceImage]:
    return read_source_images(texts, most=14, local=local, stdin=stdin)


def test_edit_model_for_each_model() -> None:
    for name in ("seedream-v4.5", "seedream-5.0-lite"):
        assert edit_model_for(name) == edit_model_for(f"{name}-edit") == f"{name}-edit"
    assert edit_model_for("seedream-9") == "seedream-9"
    models = {"plain": Model("plain", "text to image", 10, ("2K",)), **MODELS}
    with pytest.raises(InvalidRequest, match=r"plain takes no source images; seedream-v4\.5-edit, "):
        edit_model_for("plain", models)


@pytest.mark.parametrize(
    ("data", "media_type"), [(png(), "image/png"), (JPEG, "image/jpeg"), (WEBP, "image/webp")]
)
def test_data_uri_media_type_follows_the_bytes(tmp_path: Path, data: bytes, media_type: str) -> None:
    (tmp_path / "image.txt").write_bytes(data)
    [image] = read(str(tmp_path / "image.txt"))
    head, _, encoded = image.data_uri().partition(",")
    assert (head, b64decode(encoded)) == (f"data:{media_type};base64", data)
    assert describe_source(image.name) == {
        "url": None,
        "media_type": media_type,
        "bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
    }


def test_read_source_images_stdin_and_maximum_number() -> None:
    [image] = read("-", stdin=lambda most: png())
    assert image.data_uri().startswith("data:image/png;base64,")
    with pytest.raises(InvalidRequest, match="twice"):
        read("-", "-")
    with pytest.raises(InvalidRequest, match="15 source images were given; at most 14"):
        read(*["https://x.test/a.png"] * 15)


def test_read_source_images_keeps_urls() -> None:
    url = "https://x.test/a.png?sig=1#f"
    assert describe_source(read(url)[0].name)["url"] == read(url)[0].name == url
    # Plain http is only allowed if the API is on this machine.
    assert read("http://127.0.0.1:1/a.png", local=True)[0].name == "http://127.0.0.1:1/a.png"
    with pytest.raises(InvalidRequest, match="only https"):
        read("http://x.test/a.png")
    reference = f"data:image/png;bytes=7;sha256={'0' * 64}"
    assert is_reference(reference)
    for other in (url, "data:image/png;base64,AAAA", f"{reference},", f"https://x.test/?{reference}"):
        assert not is_reference(other)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("nope.png", "there is no such file"),
        ("", "name is empty"),
        (".", "Is a directory"),
        ("a\0.png", "no file can have this name"),
        ("ftp://x.test/a.png", "neither a file nor an http"),
        ("file:///etc/a.png", "neither a file nor an http"),
        ("data:image/png;base64,AAAA", "neither a file nor an http"),
        ("https://", "names no host"),
        ("https://me:secret@x.test/a.png", "user name or password"),
        ("https://x.test/a b.png", "blanks"),
        ("https://x.test:nope/a.png", "not a URL"),
        ("https://[::1/a.png", "not a URL"),
        ("https://127.0.0.1/a.png", "cannot reach this machine"),
    ],
)
def test_read_source_images_refuses_invalid_names(text: str, reason: str) -> None:
    with pytest.raises(InvalidRequest, match=reason) as caught:
        read(text)
    assert "secret" not in caught.value.message


@pytest.mark.parametrize(
    "data", [b"", b"GIF89a", png()[:-4], JPEG[:-2], b"\x89PNG\r\n\x1a\n", b"sk-0123456789"]
)
def test_read_source_images_does_not_show_content(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(InvalidRequest, match=r"source image .*a\.png: ") as caught:
        read(str(tmp_path / "a.png"))
    assert "sk-0" not in caught.value.message


def test_read_source_images_refuses_large_file(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png() + bytes(MAX_FILE_BYTES - len(png())))
    assert describe_source(read(str(path))[0].name)["bytes"] == MAX_FILE_BYTES
    path.write_bytes(png() + bytes(MAX_FILE_BYTES))
    with pytest.raises(InvalidRequest) as caught:
        read(str(path))
    assert str(path) in caught.value.message
    assert f"has {MAX_FILE_BYTES + len(png())} bytes; one may have {MAX_FILE_BYTES}" in caught.value.message
    with pytest.raises(InvalidRequest, match=f"from stdin has more than {MAX_FILE_BYTES} bytes"):
        read("-", stdin=lambda most: bytes(most))


def test_check_total_size(tmp_path: Path) -> None:
    size = MAX_REQUEST_BYTES // 4 + 1
    names = [str(tmp_path / f"{number}.png") for number in range(4)]
    for name in names:
        Path(name).write_bytes(png() + bytes(size - len(png())))
    assert len(read(*names[:3])) == 3
    with pytest.raises(InvalidRequest, match=f"{4 * size} bytes together with .*3.png.*{MAX_REQUEST_BYTES}"):
        read(*names)


def test_data_uri_refuses_changed_file(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png())
    image = source_images.read_source_image(path, "a.png")
    path.write_bytes(png(shade=1))
    with pytest.raises(InvalidRequest, match="has changed"):
        image.data_uri()

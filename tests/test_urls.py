"""URLs: loopback hosts, and hosts that images may be fetched from."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seedream_cli.errors import NotSaved
from seedream_cli.urls import check_image_url, is_loopback, without_query


def test_is_loopback() -> None:
    for host in ("localhost", "127.0.0.1", "127.8.9.1", "::1", "[::1]"):
        assert is_loopback(host)
    hosts = "example.com localhost.example.com 127.0.0.1.test 10.0.0.1 0.0.0.0 ::"
    for host in ("", *hosts.split()):
        assert not is_loopback(host)


@pytest.mark.parametrize(
    "host",
    [
        *(
            "img.example.com",
            "img.example.com:8443",
            "IMG.EXAMPLE.COM",
            "8.8.8.8",
            "1.1",
            "[2606:4700::1111]",
        ),
        *(
            "1.1",
            "[::ffff:8.8.8.8]",
            "127.0.0.1.example.com",
            "localhost.example.com",
            "cafe",
            "198.18.0.9.test",
        ),
    ],
)
def test_check_image_url_allows_public_host(host: str) -> None:
    check_image_url(f"https://{host}/1.png?sig=x", local=False)
    check_image_url(f"HTTPS://{host}/1.png", local=False)
    # An API on this machine may also serve its images from here.
    for url in ("http://127.0.0.1:8000/1.png", "http://localhost/1", "https://[::1]/1"):
        check_image_url(url, local=True)


@pytest.mark.parametrize(
    ("why", "urls"),
    [
        ("not https", ["http://img.example.com/1.png", "ftp://img.example.com/1.png", "file:///etc/passwd"]),
        ("not https", ["data:image/png;base64,AAAA", "//img.example.com/1.png", "/1.png", ""]),
        ("not https", ["https://", "https:///1.png"]),
        ("no URL", ["https://[::1/1.png", "https://[nonsense]/1.png"]),
        ("no URL", ["https://img.example.com:99999/1.png", "https://img.example.com:port/1.png"]),
    ],
)
def test_check_image_url_refuses_scheme_or_invalid_url(why: str, urls: list[str]) -> None:
    for url in urls:
        with pytest.raises(NotSaved, match=why):
            check_image_url(url, local=False)
    # Other schemes and invalid URLs are refused even then.
    for url in ("file:///etc/passwd", "http:///1.png", "gopher://127.0.0.1/", "http://[::1"):
        with pytest.raises(NotSaved):
            check_image_url(url, local=True)


def test_without_query() -> None:
    with pytest.raises(NotSaved) as caught:
        check_image_url("http://img.example.com/1.png?signature=secret#part", local=False)
    assert "img.example.com/1.png" in caught.value.message
    assert "secret" not in caught.value.message
    for query in ("?signature=x", "#x", "#x?y", ""):
        assert without_query(f"https://a/b{query}") == "https://a/b"


@pytest.mark.parametrize(
    "host",
    [
        # Loopback, short, decimal, hexadecimal, octal, with a dot at the end.
        *("127.0.0.1", "127.1", "2130706433", "0x7f.1", "0177.0.0.1", "127.0.0.1.", "[::1]"),
        *("localhost", "localhost\u3002", "images.localhost"),
        # Private; with IDNA dots; for benchmarks; link-local, which has the metadata services of clouds.
        *(
            "10.0.0.1",
            "10\u30020\uff0e0\uff611",
            "172.16.0.1",
            "192.168.1.1",
            "198.18.0.9",
            "169.254.169.254",
        ),
        # Shared by carriers, unspecified, multicast, broadcast.
        *("100.64.0.1", "0.0.0.0", "[::]", "224.0.0.1", "[ff0e::1]", "255.255.255.255"),  # noqa: S104
        # IPv6: link-local with a zone, unique local, IPv4-mapped, IPv4-compatible, site-local.
        *(
            "[fe80::1%25eth0]",
            "[fd00::1]",
            "[::ffff:127.0.0.1]",
            "[::ffff:a00:1]",
            "[::10.0.0.1]",
            "[fec0::1]",
        ),
        # IPv6: NAT64, 6to4, NAT64 of a local network.
        *("[64:ff9b::10.0.0.1]", "[2002:0a00:0001::1]", "[64:ff9b:1::8.8.8.8]"),
    ],
)
def test_check_image_url_refuses_private_host(host: str) -> None:
    with pytest.raises(NotSaved, match="private network"):
        check_image_url(f"https://{host}/1.png", local=False)


@given(st.text(max_size=40), st.booleans())
def test_check_image_url_accepts_or_refuses_any_text(text: str, local: bool) -> None:
    for url in (text, f"https://{text}"):
        with suppress(NotSaved):
            check_image_url(url, local=local)

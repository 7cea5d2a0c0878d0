"""Which hosts may be reached. All of this is judged before a socket opens."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seedream_cli.addresses import check_image_url, is_loopback, without_query
from seedream_cli.errors import NotSaved


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.9.1", "::1", "[::1]"])
def test_this_machine_is(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host",
    ["", "example.com", "localhost.example.com", "127.0.0.1.example.com", "10.0.0.1", "0.0.0.0", "::"],  # noqa: S104 - judged, not bound
)
def test_this_machine_is_not(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize(
    "url",
    [
        "https://img.example.com/1.png?sig=x",
        "https://img.example.com:8443/1.png",
        "https://8.8.8.8/1.png",
        "https://[2606:4700::1111]/1.png",
        "HTTPS://IMG.EXAMPLE.COM/1.png",
    ],
)
def test_an_image_may_be_fetched_from(url: str) -> None:
    check_image_url(url, local=False)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://img.example.com/1.png", "not https"),
        ("ftp://img.example.com/1.png", "not https"),
        ("file:///etc/passwd", "not https"),
        ("data:image/png;base64,AAAA", "not https"),
        ("//img.example.com/1.png", "not https"),
        ("/1.png", "not https"),
        ("", "not https"),
        ("https://", "not https"),
        ("https:///1.png", "not https"),
        ("https://[::1/1.png", "no URL"),
        ("https://[nonsense]/1.png", "no URL"),
        ("https://img.example.com:99999/1.png", "no URL"),
        ("https://img.example.com:port/1.png", "no URL"),
    ],
)
def test_an_image_is_not_fetched_from(url: str, why: str) -> None:
    with pytest.raises(NotSaved, match=why):
        check_image_url(url, local=False)


@pytest.mark.parametrize("url", ["http://127.0.0.1:8000/1.png", "http://localhost/1", "https://[::1]/1"])
def test_an_api_on_this_machine_may_keep_its_images_here(url: str) -> None:
    check_image_url(url, local=True)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "http:///1.png", "gopher://127.0.0.1/", "http://[::1"])
def test_an_api_on_this_machine_is_not_believed_everything(url: str) -> None:
    with pytest.raises(NotSaved):
        check_image_url(url, local=True)


def test_the_query_of_an_address_that_is_refused_is_not_shown() -> None:
    with pytest.raises(NotSaved) as caught:
        check_image_url("http://img.example.com/1.png?signature=secret#part", local=False)
    assert "img.example.com/1.png" in caught.value.message
    assert "secret" not in caught.value.message


@pytest.mark.parametrize(
    "host",
    [
        *("8.8.8.8", "1.1", "[2606:4700::1111]", "[::ffff:8.8.8.8]", "127.0.0.1.example.com"),
        *("localhost.example.com", "cafe", "198.18.0.9.example.com"),
    ],
)
def test_public_host(host: str) -> None:
    check_image_url(f"https://{host}/1.png", local=False)


@pytest.mark.parametrize(
    "host",
    [
        pytest.param("127.0.0.1", id="loopback"),
        pytest.param("127.1", id="loopback, short"),
        pytest.param("2130706433", id="loopback, decimal"),
        pytest.param("0x7f.1", id="loopback, hexadecimal"),
        pytest.param("0177.0.0.1", id="loopback, octal"),
        pytest.param("127.0.0.1.", id="loopback, with a dot at the end"),
        pytest.param("10\u30020\uff0e0\uff611", id="private, with dots of IDNA"),
        pytest.param("localhost", id="localhost"),
        pytest.param("localhost\u3002", id="localhost, with a dot of IDNA"),
        pytest.param("images.localhost", id="below localhost"),
        pytest.param("[::1]", id="loopback, IPv6"),
        pytest.param("10.0.0.1", id="private 10/8"),
        pytest.param("172.16.0.1", id="private 172.16/12"),
        pytest.param("192.168.1.1", id="private 192.168/16"),
        pytest.param("198.18.0.9", id="benchmarks 198.18/15"),
        pytest.param("169.254.169.254", id="link-local, where clouds keep their secrets"),
        pytest.param("100.64.0.1", id="shared by carriers"),
        pytest.param("0.0.0.0", id="unspecified"),  # noqa: S104 - judged, not bound
        pytest.param("[::]", id="unspecified, IPv6"),
        pytest.param("224.0.0.1", id="multicast"),
        pytest.param("[ff0e::1]", id="multicast, IPv6"),
        pytest.param("255.255.255.255", id="broadcast"),
        pytest.param("[fe80::1%25eth0]", id="link-local with a zone"),
        pytest.param("[fd00::1]", id="unique local"),
        pytest.param("[::ffff:127.0.0.1]", id="loopback, mapped"),
        pytest.param("[::ffff:a00:1]", id="private, mapped, in hexadecimal"),
        pytest.param("[64:ff9b::10.0.0.1]", id="private behind NAT64"),
        pytest.param("[2002:0a00:0001::1]", id="private in 6to4"),
        pytest.param("[::10.0.0.1]", id="private, compatible"),
        pytest.param("[fec0::1]", id="of a site"),
        pytest.param("[64:ff9b:1::8.8.8.8]", id="NAT64 of one's own"),
    ],
)
def test_private_host(host: str) -> None:
    with pytest.raises(NotSaved, match="private network"):
        check_image_url(f"https://{host}/1.png", local=False)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://a/b?signature=x", "https://a/b"),
        ("https://a/b#x", "https://a/b"),
        ("https://a/b#x?y", "https://a/b"),
        ("https://a/b", "https://a/b"),
    ],
)
def test_an_address_is_shown_without_its_query(url: str, shown: str) -> None:
    assert without_query(url) == shown


@given(st.text(max_size=40), st.booleans())
def test_any_text_is_an_address_or_not_saved(text: str, local: bool) -> None:
    for url in (text, f"https://{text}"):
        with suppress(NotSaved):
            check_image_url(url, local=local)

"""The table of settings: values that are accepted and refused, names and suggestions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seedream_cli.errors import UsageError
from seedream_cli.settings.schema import SETTINGS, parse_api_key, parse_base_url, setting_named


@pytest.mark.parametrize(
    "url",
    [
        *("https://api.apipod.ai/v1", "https://API.APIPOD.AI:8443/v1", "http://127.0.0.1:8080/v1"),
        *("http://127.9.9.9/v1", "http://localhost/v1", "http://LOCALHOST:1/v1", "http://[::1]:8080/v1"),
    ],
)
def test_base_url_accepted(url: str) -> None:
    for end in ("", "/", "//"):
        assert parse_base_url(url + end) == url


@pytest.mark.parametrize(
    ("url", "why"),
    [
        *[
            (f"http://{host}", r"https|host|blanks")
            for host in (
                *("api.apipod.ai/v1", "localhost.evil.example", "127.0.0.1.evil.example"),
                *("[::1]evil.example", "a[::1]/v1", "localhost.", "0.0.0.0/v1", "10.0.0.1/v1", "127.1/v1"),
                *("[::2]/v1", "localhost\\.evil.example", "local\thost/v1"),
            )
        ],
        *[
            (url, "user name, a query or a fragment")
            for url in (
                *("https://user@api.apipod.ai/v1", "https://user:hunter22@api.apipod.ai/v1"),
                *("https://@api.apipod.ai/v1", "https://localhost@evil.example"),
                *("http://localhost#@evil.example", "https://api.apipod.ai/v1?token=hunter22"),
                *("https://api.apipod.ai/v1?", "https://api.apipod.ai/v1#"),
            )
        ],
        *[
            (url, "it ")
            for url in (
                *("", "api.apipod.ai/v1", "ftp://api.apipod.ai", "https://", "https:///v1"),
                *(
                    "https://api.apipod.ai:99999/v1",
                    "https://api.apipod.ai:0/v1",
                    "https://api.apipod.ai:x/v1",
                ),
                *("https://[::1/v1", " https://api.apipod.ai/v1", "https://api.apipod.ai/v1\n"),
                "https://api apipod.ai/v1",
            )
        ],
    ],
)
def test_base_url_refused_without_repeating_it(url: str, why: str) -> None:
    with pytest.raises(ValueError, match=why) as refused:
        parse_base_url(url)
    assert "hunter22" not in str(refused.value)


@given(st.text())
def test_base_url_with_any_text(text: str) -> None:
    for url in (text, f"https://{text}", f"http://{text}", f"http://localhost{text}"):
        try:
            assert parse_base_url(url).startswith(("http://", "https://", "HTTP", "Http"))
        except ValueError:
            continue


@pytest.mark.parametrize("key", ["sk-0123456789abcdef", "x", "!~"])
def test_api_key_accepted(key: str) -> None:
    assert parse_api_key(key) == key


@given(st.text().filter(lambda text: not text or any(not "!" <= char <= "~" for char in text)))
def test_api_key_refused_without_repeating_it(key: str) -> None:
    with pytest.raises(ValueError, match=r"^a key is printable ASCII without blanks$"):
        parse_api_key(key)


def test_numbers_accepted() -> None:
    assert [SETTINGS["timeout"].parse(text) for text in ("0", "0.00", "2.5")] == [0.0, 0.0, 2.5]
    assert (SETTINGS["poll_interval"].parse("0.05"), SETTINGS["max_bytes"].parse("1")) == (0.05, 1)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        *[("timeout", text) for text in ("-1", "nan", "inf", "1e999", "2m", "")],
        *[("poll_interval", text) for text in ("0", "-1", "nan", "inf", "x")],
        *[("max_bytes", text) for text in ("0", "-1", "1.5", "1e6", "²", "٣", "200 MB", "")],
        *[(name, " ") for name in ("model", "aspect_ratio", "quality", "callback_url", "api_key_file")],
    ],
)
def test_values_refused(name: str, text: str) -> None:
    with pytest.raises(ValueError, match=r"is not|is empty"):
        SETTINGS[name].parse(text)


def test_setting_named_by_underscore_or_dash() -> None:
    for name in SETTINGS:
        assert setting_named(name).name == setting_named(name.replace("_", "-")).name == name
    with pytest.raises(UsageError, match="'aspct_ratio'; did you mean 'aspect_ratio'"):
        setting_named("aspct_ratio")
    # `api_key=sk-secret`: the value must not be in the message.
    with pytest.raises(UsageError) as refused:
        setting_named("api_key=sk-secret")
    assert "sk-secret" not in f"{refused.value}{refused.value.hint}"
    assert refused.value.hint == "seedream config set --help"

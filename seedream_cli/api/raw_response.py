"""An HTTP answer as it came, and its JSON in a form that can be kept and shown.

Any bytes at all lead to a document or to an UnreadableAnswer, never to another exception, and nothing
of them holds the key.
"""

from __future__ import annotations

import codecs
import json
import math
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import quote

from msgspec import Struct

from ..errors import UnreadableAnswer

#: No server is believed when it asks to come back later than this.
_LONGEST_RETRY_AFTER = 10 * 365 * 86400.0

#: Shorter keys are words that a text may hold by chance.
_SHORTEST_SECRET = 8

#: Characters of a state, a code or a request's id: more are none, and would fill a screen.
LONGEST_WORD = 100


class Received(Struct, frozen=True):
    """An HTTP answer as it came. Header names are lower case; ``at`` is its time in Unix seconds.

    ``secret`` is masked wherever the body's text holds it.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    at: float
    secret: str | None = None

    @property
    def request_id(self) -> str | None:
        return read_request_id(self.headers)

    @property
    def retry_after(self) -> float | None:
        return read_retry_after(self.headers.get("retry-after"), self.at)


def masked(text: str, secret: str | None) -> str:
    """The text without the secret, also where it stands as in a URL, or as in JSON inside of a string."""
    if secret is None or len(secret) < _SHORTEST_SECRET:
        return text
    for form in _forms(secret):
        text = text.replace(form, "***")
    return text


@lru_cache(maxsize=1)
def _forms(secret: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys((secret, quote(secret, safe=""), json.dumps(secret)[1:-1])))


def read_request_id(headers: Mapping[str, str], secret: str | None = None) -> str | None:
    """The id under which the service knows a request. Source: ``X-Request-ID``, of every answer."""
    return masked(headers.get("x-request-id", ""), secret)[:LONGEST_WORD] or None


def read_retry_after(text: str | None, now: float) -> float | None:
    """Seconds to wait from a ``Retry-After`` header (seconds or an HTTP date); None if it says nothing."""
    if text is None:
        return None
    text = text.strip()
    if re.fullmatch(r"[0-9]{1,20}(\.[0-9]{0,9})?", text):
        return min(float(text), _LONGEST_RETRY_AFTER)
    # Only dates are left: their parser is loaded for them alone.
    from datetime import UTC
    from email.utils import parsedate_to_datetime

    try:
        date = parsedate_to_datetime(text)
        # HTTP dates are in GMT, also in the old form that does not say so.
        seconds = (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - now
    except (TypeError, ValueError, OverflowError, IndexError):
        return None
    return min(max(seconds, 0.0), _LONGEST_RETRY_AFTER) if math.isfinite(seconds) else None


def parse(answer: Received) -> dict[str, Any] | UnreadableAnswer:
    try:
        # Not as "utf-8-sig": Python opens a file for that, which the system may refuse just now.
        text = answer.body.removeprefix(codecs.BOM_UTF8).decode("utf-8", "replace")
        document = json.loads(text, parse_constant=_refuse_constant)
        document = _plain(document, answer.secret)
    except (ValueError, RecursionError):
        what = "empty" if not answer.body.strip() else "no JSON"
        return unreadable(answer, f"the answer is {what}")
    if not isinstance(document, dict):
        return unreadable(answer, "expected a JSON object")
    return document


def _plain(value: Any, secret: str | None) -> Any:
    """The value with text and numbers that can be kept and shown.

    JSON's escapes can write lone surrogates, which neither a file nor a terminal takes, and can hide
    the key from a search in the bytes.
    """
    if isinstance(value, str):
        text = value.encode("utf-8", "replace").decode("utf-8")
        return masked(text, secret)
    if isinstance(value, float) and not math.isfinite(value):
        # 1e999 is JSON, and what Python makes of it is not.
        return None
    if isinstance(value, list):
        return [_plain(item, secret) for item in value]
    if isinstance(value, dict):
        return {_plain(name, secret): _plain(item, secret) for name, item in value.items()}
    return value


def _refuse_constant(name: str) -> None:
    """NaN and Infinity are Python's, not JSON's."""
    raise ValueError(name)


def unreadable(answer: Received, what: str) -> UnreadableAnswer:
    return UnreadableAnswer(
        f"the API's answer could not be read: {what}",
        http_status=answer.status,
        request_id=answer.request_id,
        retry_after=answer.retry_after,
    )

"""Responses that repeat a text in every possible place, and commands that may print it."""

from __future__ import annotations

import json
from urllib.parse import quote

from .raw import Reply, accepted, answer, success

#: Commands that call the service, or print its responses from the history.
COMMANDS = (
    ["generate", "fox", "--verbose"],
    ["generate", "fox", "--json"],
    ["generate", "fox", "--no-wait"],
    ["generate", "--resume", "last", "--verbose"],
    ["status", "--verbose"],
    ["status", "--json"],
    ["status", "task_1", "--watch", "--json"],
    ["download", "task_1", "--verbose"],
    ["download", "--pending", "--no-wait"],
    ["config", "check", "--verbose"],
)


def headers_of(text: str) -> dict[str, str]:
    """Return response headers with the text as value."""
    names = ("X-Request-ID", "X-Request-Cost", "X-Idempotent-Replay", "Set-Cookie", "Retry-After", "Server")
    return {**dict.fromkeys(names, text), "Content-Type": f"text/{text}"}


def echo_replies(text: str, in_header: str | None = None) -> dict[str, tuple[Reply, ...]]:
    """Return sequences of replies by name; the last reply is repeated.

    ``in_header`` is the text in a form that a header can hold.
    """
    plain = in_header or text
    headers = headers_of(plain)
    error = {
        "message": f"No: {text}, {quote(text, safe='')}",
        "code": f"bad_{text}",
        "type": text,
        text: text,
    }
    message = {"error": error, "message": text, text: text}
    nested = json.dumps({"upstream": {"authorization": f"Bearer {text}"}})
    quota = {"code": 403, "message": f"quota of {nested}", "data": {"error_code": text}}

    def ended(**data: object) -> bytes:
        return success({"task_id": text, "progress": text, text: text, **data}, headers=headers)

    failed = ended(status="failed", error_message=f"no {text}", error_code=text)
    address = f"https://127.0.0.1/{text}.png?{text}"
    return {
        "401": (answer(401, message, headers=headers),),
        "403 about the balance": (answer(403, quota, headers=headers),),
        "404": (answer(404, message, headers=headers),),
        "429": (answer(429, message, headers={**headers, "Retry-After": "99999"}),),
        "500 as text": (answer(500, f"no: {text}".encode(), headers=headers),),
        "200 with an error": (answer(200, message, headers=headers),),
        "200 as text": (answer(200, f"no: {text}".encode(), headers=headers),),
        "too much": (answer(200, b"x" * 2_000_000, headers=headers),),
        "no gzip": (answer(200, text.encode(), headers={**headers, "Content-Encoding": "gzip"}),),
        "half an answer": (answer(200, text.encode(), headers=headers, length=9999),),
        "no HTTP": (f"{text} 200 {text}\r\n{text}\r\n\r\n".encode(),),
        "a reason": (f"HTTP/1.1 500 {plain}\r\nContent-Length: 0\r\n\r\n".encode(),),
        "a redirect": (answer(307, headers={**headers, "Location": f"https://elsewhere.test/{plain}"}),),
        "an account": (success({text: text, "plan": text}, headers=headers),),
        "a task": (accepted(text, headers=headers), ended(status=text)),
        "a task that fails": (accepted("task_1", headers=headers), failed),
        "an image": (accepted("task_1", headers=headers), ended(status="completed", result=[address])),
        "an image's scheme": (
            accepted("task_1"),
            ended(status="completed", result=[text, f"ftp://x/{text}"]),
        ),
    }

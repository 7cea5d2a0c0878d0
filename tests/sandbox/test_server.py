"""The sandbox over real sockets: two origins, signed URLs, a shared store, the log."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest
from sandbox.caller import TINY_IMAGE, Caller, Start, fetch
from support.clock import Clock


def test_server_from_create_to_image(start: Start, clock: Clock) -> None:
    sandbox = start(seconds=3.0)
    api, images = urlsplit(sandbox.base_url), urlsplit(sandbox.image_origin)
    assert (api.hostname, images.hostname, api.path) == ("127.0.0.1", "127.0.0.1", "/sandbox/v1")
    assert api.port != images.port
    caller = Caller(sandbox)
    name = caller.task_id(prompt="一只红狐狸")
    assert caller.status(name).json["data"]["status"] == "pending"
    clock.time += 3
    data = caller.status(name).json["data"]
    image = fetch(data["result"][0])
    assert (image.status, image.raw) == (200, TINY_IMAGE)
    assert image.headers["content-type"] == "image/png"
    assert image.headers["content-length"] == str(len(TINY_IMAGE))


def test_image_url_expires(start: Start, clock: Clock) -> None:
    url = Caller(start(url_seconds=60.0)).image_url()
    clock.time += 59.9
    assert fetch(url).status == 200
    clock.time += 0.2
    refused = fetch(url)
    assert (refused.status, refused.headers["content-type"]) == (403, "application/xml")
    assert b"<Code>AccessDenied</Code>" in refused.raw


@pytest.mark.parametrize(
    "change",
    [
        lambda url: url.replace("/1.png", "/2.png"),
        lambda url: url.replace("expires=1", "expires=2"),
        lambda url: url[:-1] + ("0" if url[-1] != "0" else "1"),
        lambda url: url[: url.index("&signature")],
        lambda url: url[: url.index("?")],
        lambda url: url[: url.index("signature=")] + "signature=%C3%A9",
        lambda url: url[: url.index("?")] + "?expires=soon&signature=0",
    ],
)
def test_image_url_tampered_is_refused(start: Start, change: Callable[[str], str]) -> None:
    url = Caller(start()).image_url()
    refused = fetch(change(url))
    assert refused.status == 403
    assert b"SignatureDoesNotMatch" in refused.raw


def test_image_request_with_api_key_is_refused(start: Start) -> None:
    caller = Caller(start())
    refused = fetch(caller.image_url(), headers=caller.headers)
    assert refused.status == 400
    assert b"Only one auth mechanism allowed" in refused.raw


def test_store_shared_by_sandboxes(start: Start) -> None:
    first, second = start(), start(dialect="seed")
    name = Caller(first).task_id()
    data = Caller(second).status(name).json["data"]
    assert data["result"][0].startswith(second.image_origin)
    link = data["result"][0].replace(second.image_origin, first.image_origin)
    assert fetch(link).raw == TINY_IMAGE
    assert first.task_count() == second.task_count() == 1


def test_idempotency_with_eight_threads(start: Start) -> None:
    sandboxes = [start(), start()]
    barrier = threading.Barrier(8)
    responses: list[Any] = []

    def create(number: int) -> None:
        barrier.wait()
        responses.append(Caller(sandboxes[number % 2]).create(idempotency_key="op-1"))

    threads = [threading.Thread(target=create, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {response.status for response in responses} == {200}
    assert len({response.json["data"]["task_id"] for response in responses}) == 1
    assert sum("x-idempotent-replay" in response.headers for response in responses) == 7
    assert sandboxes[0].task_count() == 1


def test_log_has_neither_query_nor_key(start: Start) -> None:
    lines: list[str] = []
    sandbox = start(log=lines.append, faults=["submit-drop=1"])
    caller = Caller(sandbox, key="sk-very-secret")
    with pytest.raises(http.client.RemoteDisconnected):
        caller.create()
    name = caller.task_id()
    fetch(caller.status(name).json["data"]["result"][0])
    fetch(f"{sandbox.base_url}/account/status?key=sk-very-secret", headers=caller.headers)
    assert lines == [
        "POST /sandbox/v1/images/generations dropped",
        "POST /sandbox/v1/images/generations 200",
        f"GET /sandbox/v1/images/status/{name} 200",
        f"GET /results/{name}/1.png 200",
        "GET /sandbox/v1/account/status 200",
    ]

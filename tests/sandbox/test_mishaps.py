"""Responses that do not arrive as they were sent, as a client sees them."""

from __future__ import annotations

import http.client
from pathlib import Path
from typing import Any

import pytest
from sandbox.caller import TINY_IMAGE, Caller, Start, fetch

from seedream_cli.sandbox.faults import FAULTS_BY_NAME, IMAGE


@pytest.mark.parametrize(
    ("name", "created"),
    [
        ("submit-drop", 1),
        ("submit-drop-before", 0),
        ("submit-html", 1),
        ("submit-empty", 1),
        ("submit-hang", 1),
    ],
)
def test_mishap_of_create(start: Start, name: str, created: int) -> None:
    sandbox = start(faults=[f"{name}=1"])
    caller = Caller(sandbox)
    if "drop" in name:
        with pytest.raises(http.client.RemoteDisconnected):
            caller.create()
    elif name == "submit-hang":
        with pytest.raises(TimeoutError):
            caller.create(timeout=0.2)
    else:
        response = caller.create()
        assert (response.status, b"<html>" in response.raw) == (200, name == "submit-html")
        assert name == "submit-html" or response.raw == b""
    assert sandbox.task_count() == created
    assert caller.create().json["code"] == 200


@pytest.mark.parametrize("name", ["status-drop", "status-html", "status-hang"])
def test_mishap_of_status(start: Start, name: str) -> None:
    caller = Caller(start(faults=[f"{name}=1"]))
    task = caller.task_id()
    if name == "status-drop":
        with pytest.raises(http.client.RemoteDisconnected):
            caller.status(task)
    elif name == "status-hang":
        with pytest.raises(TimeoutError):
            caller.status(task, timeout=0.2)
    else:
        response = caller.status(task)
        assert (response.status, b"<html>" in response.raw) == (200, True)
    assert caller.status(task).json["data"]["status"] == "completed"


IMAGE_REFUSALS = [
    fault for fault in FAULTS_BY_NAME.values() if fault.stage == IMAGE and fault.refusal is not None
]


@pytest.mark.parametrize("fault", IMAGE_REFUSALS, ids=lambda fault: fault.name)
def test_image_refused(start: Start, fault: Any) -> None:
    url = Caller(start(faults=[f"{fault.name}=1"])).image_url()
    refused = fetch(url)
    assert (refused.status, fault.name) == (fault.refusal.status, f"image-{refused.status}")
    assert f"<Code>{fault.refusal.code}</Code>".encode() in refused.raw
    assert fetch(url).status == 200


def test_mishap_truncated_image(start: Start) -> None:
    url = Caller(start(faults=["image-truncated=1"])).image_url()
    with pytest.raises(http.client.IncompleteRead) as caught:
        fetch(url)
    assert caught.value.partial == TINY_IMAGE[: len(TINY_IMAGE) // 2]
    assert caught.value.expected == len(TINY_IMAGE) - len(caught.value.partial)
    assert fetch(url).raw == TINY_IMAGE


def test_mishap_cut_image(start: Start) -> None:
    url = Caller(start(faults=["image-cut=1"])).image_url()
    cut = fetch(url)
    assert (cut.status, cut.raw) == (200, TINY_IMAGE[: len(TINY_IMAGE) // 2])
    assert "content-length" not in cut.headers
    assert cut.headers["connection"] == "close"
    assert cut.headers["content-type"] == "image/png"
    assert fetch(url).raw == TINY_IMAGE


def test_image_redirect(start: Start) -> None:
    sandbox = start(faults=["image-redirect"])
    url = Caller(sandbox).image_url()
    moved = fetch(url)
    assert moved.status == 302
    location = moved.headers["location"]
    assert location != url.removeprefix(sandbox.image_origin)
    assert fetch(f"{sandbox.image_origin}{location}").raw == TINY_IMAGE


def test_every_fault_has_a_test() -> None:
    """Refusals are tested together; any other fault is named in a test of its own."""
    texts = "".join(path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_*.py"))
    named = {fault.name for fault in FAULTS_BY_NAME.values() if fault.refusal is None}
    outcomes = {"task-failed", "task-cancelled", "task-rejected"}
    assert [name for name in sorted(named - outcomes) if name not in texts] == []


def test_mishap_html_or_hanging_image(start: Start) -> None:
    url = Caller(start(faults=["image-hang=1", "image-html=1"])).image_url()
    with pytest.raises(TimeoutError):
        fetch(url, timeout=0.2)
    page = fetch(url)
    assert (page.status, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert b"<html>" in page.raw
    assert fetch(url).status == 200

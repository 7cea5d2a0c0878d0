"""JSON reporter: one document on stdout in every case."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.reporters import FILE, SENT, Report, operation

from seedream_cli.errors import TaskFailed
from seedream_cli.events import Event, Polled, Saved, Sending, Submitted, TaskFinished
from seedream_cli.output.json_reporter import to_json

DONE = operation(status="completed", results=("https://x/1.png",), seconds=12.3456, files=(FILE,))
FAILED = operation(id="op_00000002", task_id="img_2", status="failed")
PARTIAL: list[Event] = [
    Sending(SENT),
    Submitted(operation()),
    Polled(DONE),
    Saved(DONE, FILE, "red-fox.png"),
    TaskFinished(DONE),
    TaskFinished(
        FAILED, TaskFailed("the task failed", code="content_policy", detail="no [bold]", request_id="req_2")
    ),
]


def test_json_document_of_partial_success(report: Report) -> None:
    stdout, stderr = report(PARTIAL, json=True)
    document = json.loads(stdout)
    good, bad = document["tasks"]
    assert good["files"] == [
        {
            "path": "/home/ada/red-fox.png",
            "sha256": "ab" * 32,
            "bytes": 1234,
            "media_type": "image/png",
            "width": 4,
            "height": 3,
        }
    ]
    assert good["error"] is None
    assert (good["task_id"], good["status"], good["seconds"]) == ("img_1", "completed", 12.346)
    assert bad["files"] == []
    assert bad["error"] == document["error"]
    assert document["error"] == {
        "code": "content_policy",
        "exit_code": 3,
        "message": "img_2: the task failed",
        "detail": "no [bold]",
        "hint": None,
        "http_status": None,
        "request_id": "req_2",
        "task_id": "img_2",
    }
    assert "img_1: completed" in stderr


@given(
    st.dictionaries(
        st.text(st.characters(exclude_categories=())), st.text(st.characters(exclude_categories=()))
    )
)
def test_to_json_preserves_any_text_and_escapes_controls(values: dict[str, str]) -> None:
    text = to_json({"values": values})
    assert not [
        char for char in text if char in "\x7f\x9b\u202e\u2028\u200f" or (char < " " and char != "\n")
    ]
    parsed = json.loads(text.encode("utf-8"))["values"]
    # JSON reads a pair of surrogates as one character.
    assert {len(key) for key in parsed} <= {n for key in values for n in range(len(key) + 1)} | {0}
    if not any("\ud800" <= char <= "\udfff" for pair in values.items() for text in pair for char in text):
        assert parsed == values


@pytest.mark.parametrize("text", ["so ##[error]x", "so ##vso[task.x]y", "###[x"])
def test_to_json_escapes_workflow_commands(text: str) -> None:
    written = to_json({"prompt": text})
    assert not re.search(r"##\w*\[", written)
    assert json.loads(written) == {"prompt": text}

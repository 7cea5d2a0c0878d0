"""The task context of a call: its default timeout."""

from __future__ import annotations

from pathlib import Path

import pytest

from seedream_cli.commands._context import CommandContext
from seedream_cli.commands._options import TaskOptions
from seedream_cli.output.presenters import SavedImages


@pytest.mark.parametrize(
    ("flags", "timeouts"), [({}, [120.0, 300.0, 120.0]), ({"timeout": "7"}, [7.0, 7.0, 7.0])]
)
def test_timeout_of_4k_task_is_longer(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, flags: dict[str, str], timeouts: list[float]
) -> None:
    for variable in ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "HOME"):
        monkeypatch.setenv(variable, str(tmp_path))
    monkeypatch.setenv("SEEDREAM_API_KEY", "sk-test-0123456789")
    monkeypatch.delenv("SEEDREAM_TIMEOUT", raising=False)
    monkeypatch.chdir(tmp_path)
    context = CommandContext(TaskOptions(base_url="http://127.0.0.1:9/v1"), SavedImages(), flags=flags)
    assert [context.make_task_context(quality=quality).timeout for quality in ("2K", "4K", None)] == timeouts
    context.close()

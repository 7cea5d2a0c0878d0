"""These rooms need nothing from outside of the standard library."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import seedream_cli.sync

LOADED = """
import json, sys
from seedream_cli.sync import known_files, lock, manifest, plan, sharding
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


def test_they_load_nothing_heavy() -> None:
    done = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, check=True, text=True)
    loaded = set(json.loads(done.stdout))
    assert loaded - sys.stdlib_module_names <= {
        "__main__",
        "msgspec",
        "seedream_cli",
        "typing_extensions",
    } | {
        # What an environment loads at every start.
        name
        for name in loaded
        if name.startswith(("_", "sitecustomize", "usercustomize"))
    }
    assert not loaded & {"sqlite3", "ssl", "asyncio"}


def test_they_do_not_print() -> None:
    for path in Path(seedream_cli.sync.__file__).parent.glob("*.py"):
        assert "print(" not in path.read_text(encoding="utf-8"), path.name

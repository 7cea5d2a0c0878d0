"""Write the completion table, the man pages and the JSON Schemas: `python -m scripts.generate`.

They are kept with the sources, so that a package and a person with a checkout have them without running
anything. A test compares them with what this would write.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from . import man, schemas, table
from .tree import program

ROOT = Path(__file__).parent.parent


def generated_files() -> Mapping[str, str]:
    """Return path below the checkout → text."""
    tree = program()
    return {
        "seedream_cli/completion/table.py": table.module(tree),
        "seedream_cli/output.schema.json": schemas.text(schemas.output_schema()),
        "seedream_cli/sidecar.schema.json": schemas.text(schemas.sidecar_schema()),
        "seedream_cli/sync/manifest.schema.json": schemas.text(schemas.manifest_schema()),
        **{f"man/{name}": page for name, page in man.pages(tree, _release()).items()},
    }


def _release() -> man.Release:
    """The newest one of the changelog, so that a page changes with a version, and not with a day."""
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    [version, date] = re.findall(r"^## \[(.+)\] - (.+)$", changelog, re.MULTILINE)[0]
    return man.Release(date, version)


def main() -> None:
    for old in (ROOT / "man").iterdir():
        old.unlink()
    for name, text in generated_files().items():
        (ROOT / name).write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()

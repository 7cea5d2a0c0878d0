"""Write the completion table, the man pages and the JSON Schemas: `python -m scripts.generate`.

The files are committed, so that nothing must be run to use a checkout or to build a package. A test compares
them with what this module would write.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from . import man, schemas, table
from .tree import program

ROOT = Path(__file__).parent.parent


def generated_files() -> Mapping[str, str]:
    """Return the text of each generated file, by its path in the checkout."""
    tree = program()
    return {
        "seedream_cli/completion/table.py": table.module(tree),
        "seedream_cli/output.schema.json": schemas.text(schemas.output_schema()),
        "seedream_cli/sidecar.schema.json": schemas.text(schemas.sidecar_schema()),
        "seedream_cli/sync/manifest.schema.json": schemas.text(schemas.manifest_schema()),
        **{f"man/{name}": page for name, page in man.pages(tree, _latest_release()).items()},
    }


def _latest_release() -> man.Release:
    """Return the latest release of the changelog, so that pages change with a version and not every day."""
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    [version, date] = re.findall(r"^## \[(.+)\] - (.+)$", changelog, re.MULTILINE)[0]
    return man.Release(date, version)


def main() -> None:
    """Write all files. Man pages of commands that no longer exist are removed."""
    for page in (ROOT / "man").iterdir():
        page.unlink()
    for name, text in generated_files().items():
        (ROOT / name).write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()

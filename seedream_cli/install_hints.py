"""The commands that add to this installation or renew it: those of the program that installed it.

pip of another environment would install beside it, and what pipx and uv made has no pip of its own.
"""

from __future__ import annotations

import os
import shlex
import sys

_NAME = "apipod-seedream"
_LIBRARIES = {"keyring": "keyring", "preview": "textual-image", "sandbox": "pillow"}


def install_command(extra: str) -> str:
    """What installs the library of an extra of the distribution."""
    if _has("pipx_metadata.json"):
        return f"pipx inject {_environment()} {_LIBRARIES[extra]}"
    if _has("uv-receipt.toml"):
        # `uv tool install --with` would look for the distribution in an index again.
        return f"uv pip install --python {shlex.quote(sys.prefix)} {_LIBRARIES[extra]}"
    return f"pip install '{_NAME}[{extra}]'"


def upgrade_command() -> str:
    """What installs the newest version."""
    if _has("pipx_metadata.json"):
        return f"pipx upgrade {_environment()}"
    if _has("uv-receipt.toml"):
        return f"uv tool upgrade {_environment()}"
    return f"pip install --upgrade {_NAME}"


def _has(mark: str) -> bool:
    """Whether the environment has the file that an installer leaves in those of its own."""
    return os.path.isfile(os.path.join(sys.prefix, mark))


def _environment() -> str:
    """Its name: the distribution's, and what pipx was told to add to that."""
    return shlex.quote(os.path.basename(sys.prefix))

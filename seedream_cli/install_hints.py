"""Commands that install an optional library or upgrade this program, for pip, pipx or uv.

They must use the program that made this environment: the environments of pipx and uv have no pip of their
own, and another pip would install elsewhere.
"""

from __future__ import annotations

import os
import shlex
import sys

_DISTRIBUTION = "apipod-seedream"
#: Extra of the distribution → the library that it installs.
_LIBRARIES = {"keyring": "keyring", "preview": "textual-image", "sandbox": "pillow"}


def install_command(extra: str) -> str:
    """Return the command that installs the library of an extra, such as ``preview``."""
    if _has_marker("pipx_metadata.json"):
        return f"pipx inject {_environment()} {_LIBRARIES[extra]}"
    if _has_marker("uv-receipt.toml"):
        # Not `uv tool install --with`, which would look up the distribution itself in an index again.
        return f"uv pip install --python {shlex.quote(sys.prefix)} {_LIBRARIES[extra]}"
    return f"pip install '{_DISTRIBUTION}[{extra}]'"


def upgrade_command() -> str:
    """Return the command that installs the newest version."""
    if _has_marker("pipx_metadata.json"):
        return f"pipx upgrade {_environment()}"
    if _has_marker("uv-receipt.toml"):
        return f"uv tool upgrade {_environment()}"
    return f"pip install --upgrade {_DISTRIBUTION}"


def _has_marker(file: str) -> bool:
    """Return True if the environment has this file, which an installer writes into those that it makes."""
    return os.path.isfile(os.path.join(sys.prefix, file))


def _environment() -> str:
    """Return the environment's name for a shell: the distribution's, plus any suffix given to pipx."""
    return shlex.quote(os.path.basename(sys.prefix))

"""httpx without its own command line.

httpx loads that wherever click is installed, for whatever program, and rich and pygments with it: 0.1 s
more at every start. Python takes a name that is None in `sys.modules` as one that cannot be imported.
"""

from __future__ import annotations

import sys

_COMMAND_LINE = "httpx._main"
_modules: dict[str, object] = sys.modules  # type: ignore[assignment]
_modules.setdefault(_COMMAND_LINE, None)

# ruff: noqa: E402 - what httpx would load has to be settled before.
import httpx as httpx

# How httpx itself reads the environment, so that both know the same rules; pyproject.toml caps it for this.
from httpx._utils import get_environment_proxies as get_environment_proxies

if _modules[_COMMAND_LINE] is None:
    del _modules[_COMMAND_LINE]

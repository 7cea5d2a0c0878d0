"""Where this program keeps its files, at the platform's places.

Shells ask for these while a line is being typed, so nothing is imported here that the plain case does
without: platformdirs alone would double what a Tab costs.
"""

from __future__ import annotations

import os
import sys

#: The folder's name at the platform's places. Not `seedream`: another provider's tool has that name.
APP_NAME = "apipod-seedream"
CONFIG_FILE = "config.toml"
HISTORY_FILE = "history.sqlite3"


def config_folder() -> str:
    """Where the user's config is."""
    if (plain := _plain("XDG_CONFIG_HOME", "~/.config")) is not None:
        return plain
    from platformdirs import user_config_dir

    return user_config_dir(APP_NAME, appauthor=False)


def state_folder() -> str:
    """Where the history and the sandbox's tasks are kept."""
    if (plain := _plain("XDG_STATE_HOME", "~/.local/state")) is not None:
        return plain
    from platformdirs import user_state_dir

    return user_state_dir(APP_NAME, appauthor=False)


def _plain(variable: str, default: str) -> str | None:
    """What platformdirs answers on Linux where no path is relative; None where it has to be asked."""
    if sys.platform != "linux" or hasattr(sys, "getandroidapilevel") or "ANDROID_DATA" in os.environ:
        return None
    base = os.environ.get(variable) or os.path.expanduser(default)
    home = os.environ.get("HOME", "/")
    return os.path.join(base, APP_NAME) if os.path.isabs(base) and os.path.isabs(home) else None

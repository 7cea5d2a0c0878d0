"""Where this program keeps its files: platformdirs' folders for each platform.

On Linux, where these are one variable or its default, platformdirs is not imported: a Tab in a shell asks for
them, and the import takes 23 ms of CPU where `python -c pass` takes 13.
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
    """Return what platformdirs returns on Linux if no path is relative; None if it has to be asked."""
    if sys.platform != "linux" or hasattr(sys, "getandroidapilevel") or "ANDROID_DATA" in os.environ:
        return None
    base = os.environ.get(variable) or os.path.expanduser(default)
    home = os.environ.get("HOME", "/")
    return os.path.join(base, APP_NAME) if os.path.isabs(base) and os.path.isabs(home) else None


DEFAULT_BASE_URL = "https://api.apipod.ai/v1"
#: The service that `--sandbox` and every `seedream sandbox` server are, whatever their port.
SANDBOX_SERVICE = "sandbox"

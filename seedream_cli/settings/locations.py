"""Where seedream keeps its files, and the names of services.

On Linux these folders are one variable or its default, so platformdirs is not imported: shell completion
needs them, and the import takes 23 ms of CPU while `python -c pass` takes 13.
"""

from __future__ import annotations

import os
import sys

#: The name of our folder. Not `seedream`: another provider's tool has that name.
APP_NAME = "apipod-seedream"
CONFIG_FILE = "config.toml"
HISTORY_FILE = "history.sqlite3"


def config_folder() -> str:
    """Return the folder of the config file."""
    if (plain := _plain("XDG_CONFIG_HOME", "~/.config")) is not None:
        return plain
    from platformdirs import user_config_dir

    return user_config_dir(APP_NAME, appauthor=False)


def state_folder() -> str:
    """Return the folder of the history and of the sandbox's tasks."""
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
#: The name under which the history keeps the tasks of every sandbox, whatever its port.
SANDBOX_SERVICE = "sandbox"

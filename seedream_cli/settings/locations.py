"""Where seedream keeps its files, and the names of services.

On Linux these folders are one variable or its default, so platformdirs is not imported: shell completion
needs them, and the import takes 23 ms of CPU while `python -c pass` takes 13. Paths are text for the same
reason: completion does without pathlib.
"""

from __future__ import annotations

import os
import sys

#: The name of our folder. Not `seedream`: another provider's tool has that name.
APP_NAME = "apipod-seedream"
CONFIG_FILE = "config.toml"
HISTORY_FILE = "history.sqlite3"

DEFAULT_BASE_URL = "https://api.apipod.ai/v1"
#: The name under which the history keeps the tasks of every sandbox, whatever its port.
SANDBOX_SERVICE = "sandbox"


def config_path() -> str:
    """Return the path of the config file."""
    return os.path.join(config_folder(), CONFIG_FILE)


def history_path() -> str:
    """Return the path of the history's database."""
    return os.path.join(state_folder(), HISTORY_FILE)


def config_folder() -> str:
    """Return the folder of the config file."""
    if (folder := _linux_folder("XDG_CONFIG_HOME", "~/.config")) is not None:
        return folder
    from platformdirs import user_config_dir

    return user_config_dir(APP_NAME, appauthor=False)


def state_folder() -> str:
    """Return the folder of the history and of the sandbox's tasks."""
    if (folder := _linux_folder("XDG_STATE_HOME", "~/.local/state")) is not None:
        return folder
    from platformdirs import user_state_dir

    return user_state_dir(APP_NAME, appauthor=False)


def _linux_folder(variable: str, default: str) -> str | None:
    """Return the folder that platformdirs finds on Linux. Return None elsewhere, or if a path is relative."""
    if sys.platform != "linux" or hasattr(sys, "getandroidapilevel") or "ANDROID_DATA" in os.environ:
        return None
    base = os.environ.get(variable) or os.path.expanduser(default)
    home = os.environ.get("HOME", "/")
    return os.path.join(base, APP_NAME) if os.path.isabs(base) and os.path.isabs(home) else None

"""Types of the fixtures that start servers."""

from __future__ import annotations

from collections.abc import Callable

from seedream_cli.sandbox.server import Sandbox

from .raw import RawServer

StartSandbox = Callable[..., Sandbox]
StartRaw = Callable[..., RawServer]

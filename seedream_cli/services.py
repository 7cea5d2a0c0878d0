"""What the services are called, as the history has them; config.py's `service_of` names any other."""

from __future__ import annotations

DEFAULT_BASE_URL = "https://api.apipod.ai/v1"
#: The service that `--sandbox` and every `seedream sandbox` server are, whatever their port.
SANDBOX_SERVICE = "sandbox"

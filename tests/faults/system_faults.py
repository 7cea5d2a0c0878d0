"""Faults of the process, its machine, its files, and the hosts that it needs.

Each function is an action on a scenario. `Scenario.repair` undoes it.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import sqlite3
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from faults.scenario import Action, Scenario
from support.fork_server import NO_NAMES
from support.raw import Exchange
from support.service import Fault, Honest, Service


def during_response(scenario: Scenario, action: Action, *, midway: bool = False) -> Fault:
    """Return a fault that performs an action while the program waits for a response, and then sends it.

    ``midway``: half of the response is sent before the action.
    """

    def fault(service: Service, exchange: Exchange, honest: Honest) -> None:
        whole = honest()
        sent = len(whole) // 2 if midway else 0
        exchange.connection.sendall(whole[:sent])
        if midway:
            _wait_for(lambda: scenario.parts() and scenario.parts()[0].stat().st_size > 0)
        action(scenario)
        exchange.connection.sendall(whole[sent:])

    return fault


def _wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline, "the program did not come this far"
        time.sleep(0.005)


def send_signal(name: str) -> Action:
    """Return an action that sends the signal with this name. Not every system has each signal."""

    def action(scenario: Scenario) -> None:
        assert scenario.running is not None
        scenario.running.send(signal.Signals[name])

    return action


def disk_full(scenario: Scenario) -> None:
    """Limit the size of files that the process may write to 0."""
    _limit(scenario, "RLIMIT_FSIZE", 0)


def no_more_files(scenario: Scenario) -> None:
    """Prevent the process from opening any more files."""
    _limit(scenario, "RLIMIT_NOFILE", 3)


def _limit(scenario: Scenario, name: str, value: int) -> None:
    import resource

    assert scenario.running is not None
    resource.prlimit(scenario.running.pid, getattr(resource, name), (value, value))


def folder_vanishes(scenario: Scenario) -> None:
    shutil.rmtree(scenario.folder)


def folder_becomes_a_file(scenario: Scenario) -> None:
    shutil.rmtree(scenario.folder)
    scenario.folder.write_bytes(b"")
    scenario.repairs.callback(scenario.folder.unlink)


def folder_becomes_read_only(scenario: Scenario) -> None:
    scenario.folder.chmod(0o500)
    scenario.repairs.callback(scenario.folder.chmod, 0o700)


def name_is_taken(scenario: Scenario) -> None:
    """Create another file at the target path, which must be unchanged after the run."""
    other_file = scenario.folder / "fox.png"
    other_file.write_bytes(b"another file")

    def check_unchanged() -> None:
        assert other_file.read_bytes() == b"another file"
        other_file.unlink()

    scenario.repairs.callback(check_unchanged)


def history_is_locked(scenario: Scenario) -> None:
    scenario.history.parent.mkdir(parents=True, exist_ok=True)
    db = sqlite3.connect(scenario.history, timeout=0, isolation_level=None, check_same_thread=False)
    scenario.repairs.callback(db.close)
    # A run that is stopped while it writes holds the lock itself.
    with contextlib.suppress(sqlite3.OperationalError):
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("BEGIN EXCLUSIVE")


def history_is_corrupt(scenario: Scenario) -> None:
    scenario.history.parent.mkdir(parents=True, exist_ok=True)
    scenario.history.write_bytes(b"this is not a database" * 1000)


def history_is_newer(scenario: Scenario) -> None:
    scenario.history.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.closing(sqlite3.connect(scenario.history)) as db:
        db.execute("PRAGMA user_version = 99")

    def restore_version() -> None:
        with contextlib.closing(sqlite3.connect(scenario.history)) as db:
            db.execute("PRAGMA user_version = 0")

    scenario.repairs.callback(restore_version)


def history_is_read_only(scenario: Scenario) -> None:
    scenario.history.parent.mkdir(parents=True, exist_ok=True)
    scenario.history.parent.chmod(0o500)
    scenario.repairs.callback(scenario.history.parent.chmod, 0o700)


def clock_set_back(scenario: Scenario) -> None:
    """Set the clock back by a day."""
    assert scenario.running is not None
    scenario.running.set_clock_by = -86400.0


def server_down(scenario: Scenario) -> None:
    """Refuse connections."""
    scenario.service.server.down()
    scenario.repairs.callback(scenario.service.server.up)


def server_back(scenario: Scenario) -> None:
    """Accept connections again."""
    scenario.repairs.close()


def server_stalled(scenario: Scenario) -> None:
    """Neither accept nor refuse connections, by filling the kernel's backlog."""
    server = scenario.service.server
    server.down()
    scenario.repairs.callback(server.up)
    queue = scenario.repairs.enter_context(ExitStack())
    listener = queue.enter_context(socket.create_server(("127.0.0.1", server.port), backlog=0))
    for _ in range(4):
        waiting = queue.enter_context(socket.socket())
        waiting.setblocking(False)
        waiting.connect_ex(listener.getsockname())


def no_names(scenario: Scenario) -> None:
    """Let every name resolution fail."""
    flag = Path(scenario.program.environment[NO_NAMES])
    flag.touch()
    scenario.repairs.callback(flag.unlink)

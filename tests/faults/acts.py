"""What happens to a process, its machine, its files and the hosts that it needs.

Each act is undone by `Scene.repair`.
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

from faults.scene import Act, Scene
from support.raw import HttpCall
from support.service import Fault, Honest, Service
from support.zygote import NO_NAMES


def at_the_server(scene: Scene, act: Act, *, midway: bool = False) -> Fault:
    """A fault: ``act`` is done while the program waits for this answer, then it is given."""

    def fault(service: Service, exchange: HttpCall, honest: Honest) -> None:
        whole = honest()
        sent = len(whole) // 2 if midway else 0
        exchange.connection.sendall(whole[:sent])
        if midway:
            _wait_for(lambda: scene.parts() and scene.parts()[0].stat().st_size > 0)
        act(scene)
        exchange.connection.sendall(whole[sent:])

    return fault


def _wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline, "the program did not come this far"
        time.sleep(0.005)


def signalled(name: str) -> Act:
    """By the signal of this name; not every system has each."""

    def act(scene: Scene) -> None:
        assert scene.running is not None
        scene.running.send(signal.Signals[name])

    return act


def disk_full(scene: Scene) -> None:
    """No file can grow any more, for this process."""
    _limit(scene, "RLIMIT_FSIZE", 0)


def no_more_files(scene: Scene) -> None:
    """The process can open nothing more."""
    _limit(scene, "RLIMIT_NOFILE", 3)


def _limit(scene: Scene, name: str, value: int) -> None:
    import resource

    assert scene.running is not None
    resource.prlimit(scene.running.pid, getattr(resource, name), (value, value))


def folder_vanishes(scene: Scene) -> None:
    shutil.rmtree(scene.folder)


def folder_becomes_a_file(scene: Scene) -> None:
    shutil.rmtree(scene.folder)
    scene.folder.write_bytes(b"")
    scene.repairs.callback(scene.folder.unlink)


def folder_becomes_read_only(scene: Scene) -> None:
    scene.folder.chmod(0o500)
    scene.repairs.callback(scene.folder.chmod, 0o700)


def name_is_taken(scene: Scene) -> None:
    """By a stranger's file, which is there as long as the run."""
    stranger = scene.folder / "fox.png"
    stranger.write_bytes(b"a stranger's")

    def unharmed() -> None:
        assert stranger.read_bytes() == b"a stranger's"
        stranger.unlink()

    scene.repairs.callback(unharmed)


def history_is_locked(scene: Scene) -> None:
    scene.history.parent.mkdir(parents=True, exist_ok=True)
    db = sqlite3.connect(scene.history, timeout=0, isolation_level=None, check_same_thread=False)
    scene.repairs.callback(db.close)
    # A run that is stopped while it writes holds it itself.
    with contextlib.suppress(sqlite3.OperationalError):
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("BEGIN EXCLUSIVE")


def history_is_corrupt(scene: Scene) -> None:
    scene.history.parent.mkdir(parents=True, exist_ok=True)
    scene.history.write_bytes(b"this is no database" * 1000)


def history_is_newer(scene: Scene) -> None:
    scene.history.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.closing(sqlite3.connect(scene.history)) as db:
        db.execute("PRAGMA user_version = 99")

    def back() -> None:
        with contextlib.closing(sqlite3.connect(scene.history)) as db:
            db.execute("PRAGMA user_version = 0")

    scene.repairs.callback(back)


def history_is_read_only(scene: Scene) -> None:
    scene.history.parent.mkdir(parents=True, exist_ok=True)
    scene.history.parent.chmod(0o500)
    scene.repairs.callback(scene.history.parent.chmod, 0o700)


def clock_set_back(scene: Scene) -> None:
    """By a day."""
    assert scene.running is not None
    scene.running.set_clock_by = -86400.0


def server_down(scene: Scene) -> None:
    """Connections are refused from now on."""
    scene.service.server.down()
    scene.repairs.callback(scene.service.server.up)


def server_back(scene: Scene) -> None:
    """Connections are taken again."""
    scene.repairs.close()


def server_stalled(scene: Scene) -> None:
    """Connections are neither taken nor refused: the kernel's queue of them is full."""
    server = scene.service.server
    server.down()
    scene.repairs.callback(server.up)
    queue = scene.repairs.enter_context(ExitStack())
    listener = queue.enter_context(socket.create_server(("127.0.0.1", server.port), backlog=0))
    for _ in range(4):
        waiting = queue.enter_context(socket.socket())
        waiting.setblocking(False)
        waiting.connect_ex(listener.getsockname())


def no_names(scene: Scene) -> None:
    """No name can be looked up."""
    flag = Path(scene.program.environment[NO_NAMES])
    flag.touch()
    scene.repairs.callback(flag.unlink)

"""Base of servers on loopback, with a thread for each connection."""

from __future__ import annotations

import contextlib
import socket
import threading
from types import TracebackType
from typing import Self


class ThreadedServer:
    """Server that listens when created, and accepts connections in its context.

    ``connections`` counts them. ``closing`` is set when the context ends.
    """

    def __init__(self) -> None:
        self.connections = 0
        self.closing = threading.Event()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]

    def serve(self, connection: socket.socket) -> None:
        """Handle one connection, which is closed afterwards."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, args=(self._socket,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.closing.set()
        self.down()

    def down(self) -> None:
        """Stop listening: connections are refused."""
        # close() alone would not wake the accepting thread, which keeps the port open.
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def up(self) -> None:
        """Listen again on the same port."""
        self._socket = socket.create_server(("127.0.0.1", self.port))
        self.__enter__()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._handle, args=(connection,), daemon=True).start()

    def _handle(self, connection: socket.socket) -> None:
        with connection:
            try:
                self.serve(connection)
            except OSError:
                return

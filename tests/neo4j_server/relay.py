"""What stands between a client and a Neo4j server on loopback, and can break at any point."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable

COMMIT = b"\x00\x02\xb0\x12\x00\x00"
"""The message of the protocol that asks for a commit: https://neo4j.com/docs/bolt/current/bolt/message/#messages-commit."""


class Relay:
    """Passes on what each side says, until it is taken away, or told to break at a commit.

    Args:
        port: of the server.
        tls: what it shows to who connects, if they are to speak TLS; Neo4j's test harness does not do that itself.

    Attributes:
        port: where it listens, on loopback.
        commits: how many were asked for.
        open: the sockets of the connections that go through it.
    """

    def __init__(self, port: int, tls: ssl.SSLContext | None = None) -> None:
        self.target, self.commits, self._tls = port, 0, tls
        self.open: list[socket.socket] = []
        self._at, self._is_answered, self._break = 0, False, self.cut
        self._listener = self._listen(0)
        self.port: int = self._listener.getsockname()[1]

    @property
    def uri(self) -> str:
        return f"bolt://127.0.0.1:{self.port}"

    def break_at(self, commit: int, how: Callable[[], None], *, answered: bool) -> None:
        """Break at a commit, counted from 1: before the server has heard of it, or when it has `answered`."""
        self._at, self._is_answered, self._break = commit, answered, how

    def cut(self) -> None:
        """End what goes on; who connects again finds the server."""
        for s in self.open:
            with contextlib.suppress(OSError):
                s.shutdown(socket.SHUT_RDWR)  # closing alone would not wake who reads from it
            s.close()
        self.open = []

    def go(self) -> None:
        """End what goes on, and let nobody in."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def come_back(self) -> None:
        """Let people in again."""
        self._listener = self._listen(self.port)

    def _listen(self, port: int) -> socket.socket:
        listener = socket.create_server(("127.0.0.1", port))
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()
        return listener

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = listener.accept()
                if self._tls:
                    try:
                        near = self._tls.wrap_socket(near, server_side=True)
                    except OSError:  # who connects does not like what it was shown
                        near.close()
                        continue
                far = socket.create_connection(("127.0.0.1", self.target))
                self.open += [near, far]
                asked = threading.Event()
                for pump, a, b in ((self._ask, near, far), (self._answer, far, near)):
                    threading.Thread(target=pump, args=(a, b, asked), daemon=True).start()

    def _ask(self, near: socket.socket, far: socket.socket, asked: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while data := near.recv(65536):
                if data.endswith(COMMIT):
                    self.commits += 1
                    if self.commits == self._at:
                        if not self._is_answered:
                            self._break()
                            return
                        asked.set()
                far.sendall(data)
            far.shutdown(socket.SHUT_WR)

    def _answer(self, far: socket.socket, near: socket.socket, asked: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while data := far.recv(65536):
                if asked.is_set():
                    self._break()
                    return
                near.sendall(data)
            near.shutdown(socket.SHUT_WR)

"""A TCP relay that drops its connections, or refuses new ones, when it is told to."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading
from typing import Self
from urllib.parse import urlsplit


class Proxy:
    """Relays to the server at `target` from `url`."""

    def __init__(self, target: str) -> None:
        self.target = target
        self.away = False  # whether new connections are dropped at once
        self.made = 0  # connections so far
        self.cuts: list[int] = []  # bytes of an answer that end its connection, one after the other
        self._open: set[socket.socket] = set()
        proxy = self

        class Relay(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                proxy._relay(self.request)

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Relay)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self.drop()
        self._server.server_close()
        self._thread.join()

    def drop(self) -> None:
        """Cut every connection."""
        for each in list(self._open):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def _relay(self, client: socket.socket) -> None:
        self.made += 1
        if self.away:
            return
        where = urlsplit(self.target)
        with socket.create_connection((where.hostname, where.port)) as upstream:
            both = {client, upstream}
            self._open |= both
            back = threading.Thread(target=self._answer, args=(upstream, client), daemon=True)
            back.start()
            _copy(client, upstream)
            back.join()
            self._open -= both

    def _answer(self, upstream: socket.socket, client: socket.socket) -> None:
        """Relay what the server says, up to the next of the cuts."""
        sent = 0
        with contextlib.suppress(OSError):
            while data := upstream.recv(65536):
                left = self.cuts[0] - sent if self.cuts else len(data)
                client.sendall(data[:left])
                sent += len(data)
                if left < len(data):
                    del self.cuts[0]
                    break
        _end(client, upstream)


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    _end(source, sink)


def _end(*both: socket.socket) -> None:
    for end in both:
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)

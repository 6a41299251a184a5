"""Ports for the servers that tests start."""

from __future__ import annotations

import atexit
import contextlib
import socket
import sys

_held = contextlib.ExitStack()
atexit.register(_held.close)


def free_port() -> int:
    """A port of the loopback address that nobody else is given for as long as this process runs.

    A socket keeps it. A server may listen there all the same: both set SO_REUSEADDR, and this one
    does not listen (socket(7), Linux). Elsewhere the port is merely free.
    """
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind(("127.0.0.1", 0))
    port: int = holder.getsockname()[1]
    if sys.platform == "linux":
        _held.enter_context(holder)
    else:
        holder.close()
    return port

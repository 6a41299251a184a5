"""Addresses that a server listens at."""

from __future__ import annotations

import errno
import socket


def require_free(host: str, port: int) -> None:
    """Raises OSError where a server could not listen there: taken, or not of this machine."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    faults = []
    for family, kind, protocol, _, address in dict.fromkeys(found):
        try:
            with socket.socket(family, kind, protocol) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
        except OSError as error:
            faults.append(error)
    for fault in faults:  # `localhost` may have an address of a family that is switched off
        if fault.errno == errno.EADDRINUSE or len(faults) == len(found):
            raise fault

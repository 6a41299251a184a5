"""HTTP and WebSocket: what a client says to the queue, and what the queue says to a client."""

from ancestral.api.app import create_app

__all__ = ["create_app"]

"""What cannot be lowered."""

from __future__ import annotations


class Unsupported(Exception):
    """What this runtime does not compute; the reference runtime does."""

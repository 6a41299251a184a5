"""What a worker may take up."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one worker.

    slots           the most places in one model's running batch
    slot_bytes      caches of one model's slots; an item beyond it alone is refused
    memory          weights and caches of all models that are loaded
    frame_seconds   a stream's frames come about this often: fast enough for the eye and for sound
    score_seconds   a scoring item waits this long for others of its shape
    score_items     items scored in one pass at most
    """

    slots: int = 32
    slot_bytes: int = 2 * 2**30
    memory: int = 4 * 2**30
    frame_seconds: float = 0.05
    score_seconds: float = 0.005
    score_items: int = 64

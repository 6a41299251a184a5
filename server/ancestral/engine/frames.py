"""What slots have gained that nobody has been told yet: slices are shorter than frames."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ancestral.runtimes.base import Advance


class Frames:
    """Consecutive advances of each slot, until they are taken as one."""

    def __init__(self) -> None:
        self._parts: dict[int, list[Advance]] = {}

    def add(self, advance: Advance) -> None:
        self._parts.setdefault(advance.slot, []).append(advance)

    def take(self, slot: int) -> Advance | None:
        """What the slot has gained since the last call."""
        parts = self._parts.pop(slot, [])
        if len(parts) < 2:
            return parts[0] if parts else None
        return replace(
            parts[0],
            values=np.concatenate([part.values for part in parts]),
            log_prob=np.concatenate([part.log_prob for part in parts]),
            given=np.concatenate([part.given for part in parts]),
            done=parts[-1].done,
        )

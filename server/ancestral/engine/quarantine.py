"""Jobs that were delivered again without progress: a worker may have died of one of them.

They are tried one at a time, beside whatever runs; the next one's turn comes when the one on trial
has given an output or has ended. If that one ends the worker, the others are as they were.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping, Sequence

from ancestral.broker import Delivery, Publication

MOST = 64  # suspects of one worker; beyond that it pulls nothing


class Quarantine:
    """The suspects of one worker, and which of them is on trial."""

    def __init__(self) -> None:
        self._waiting: deque[Delivery] = deque()
        self._tried = ""

    @property
    def jobs(self) -> Mapping[str, int]:
        """Which attempt at each waiting job this is."""
        return {delivery.job.id: delivery.attempt for delivery in self._waiting}

    @property
    def models(self) -> set[str]:
        """Whose jobs wait."""
        return {delivery.job.model for delivery in self._waiting}

    @property
    def full(self) -> bool:
        return len(self._waiting) >= MOST

    def add(self, delivery: Delivery) -> None:
        """Take in a suspect, in place of an older delivery of it."""
        self._remove({delivery.job.id})
        self._waiting.append(delivery)

    def drop(self, jobs: Collection[str]) -> list[Publication]:
        """End jobs on request, before they are tried."""
        gone = [delivery for delivery in self._waiting if delivery.job.id in jobs]
        self._remove(jobs)
        return [Publication(each.job.id, each.attempt, "canceled", {}) for each in gone]

    def heard(self, publications: Sequence[Publication], refused: Collection[str]) -> None:
        """What the worker has said of its jobs; it may clear the one on trial."""
        said = {each.job for each in publications if each.event != "started"} | set(refused)
        if self._tried in said:
            self._tried = ""
        self._remove(refused)

    def next(self, models: Collection[str]) -> Delivery | None:
        """The suspect whose turn it is, if one of these models can take it."""
        if self._tried:
            return None
        for delivery in self._waiting:
            if delivery.job.model in models:
                self._remove({delivery.job.id})
                self._tried = delivery.job.id
                return delivery
        return None

    def _remove(self, jobs: Collection[str]) -> None:
        self._waiting = deque(each for each in self._waiting if each.job.id not in jobs)

"""Whose turn it is to get a free slot of a running batch.

It goes to the highest priority, within it to the job that holds the fewest slots, then to the
oldest; the last eighth of the slots goes only to jobs that have none (`shared` is false then). So
one request for a hundred items leaves room for a later one.
"""

from __future__ import annotations

from collections.abc import Iterable

from ancestral.engine.work import Work

SHARED_SLOTS = 4  # with fewer, none is kept for jobs that have none


def spare_slots(slots: int) -> int:
    """How many of the slots are kept for jobs that have none."""
    return -(-slots // 8) if slots >= SHARED_SLOTS else 0


def next_job(works: Iterable[Work], *, shared: bool) -> Work | None:
    """The job that gets the next free slot, if one waits for it."""
    waiting = [
        work for work in works
        if work.waiting and not work.paused and (shared or not work.running)
    ]  # fmt: skip
    return min(waiting, key=lambda w: (w.job.priority, len(w.running), w.arrival), default=None)

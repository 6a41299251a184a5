"""Whose fault a failed step is: each job of the batch is tried alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from ancestral.engine.work import Item, Work
from ancestral.runtimes.base import Runtime


def errors_alone(
    held: Mapping[Work, Sequence[Item]], another: Callable[[], Runtime], sites: int
) -> dict[Work, Exception | None]:
    """The error that each job raises when it is stepped alone, as far as the batch was to go."""
    return {work: _error(work, items, another(), sites) for work, items in held.items()}


def _error(work: Work, items: Sequence[Item], runtime: Runtime, sites: int) -> Exception | None:
    try:
        for item in items:
            runtime.open(work.slot_request(item))
        runtime.step(sites + max(item.site for item in items))
    except Exception as error:
        return error
    return None

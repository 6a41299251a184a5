"""What a long piece of work is at, told to whoever watches it: a progress bar, or nobody."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

Item = TypeVar("Item")
Listener = Callable[[str, str, int, int], None]  # stage, unit, how many are done, of how many

_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)


@contextmanager
def watched(listener: Listener) -> Iterator[None]:
    """Tell `listener` of every stage that this thread goes through in the block."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def begin(stage: str) -> None:
    """A stage of which nobody knows how long it takes: none of 0 is done."""
    listener = _listener.get()
    if listener is not None:
        listener(stage, "", 0, 0)


def each(stage: str, unit: str, items: Collection[Item]) -> Iterator[Item]:
    """The items of a stage, such as "checking" sites, told of as they are taken."""
    listener = _listener.get()
    if listener is None:
        yield from items
        return
    for done, item in enumerate(items):
        listener(stage, unit, done, len(items))
        yield item
    listener(stage, unit, len(items), len(items))

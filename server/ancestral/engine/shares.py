"""Whose turn it is: equal shares of the worker's time, so that neither verb starves the other.

Start-time fair queuing over (model, lane): each contender's account holds the seconds it used, the
smallest account goes first, and one that comes back from idling starts level with the others
instead of with credit. A scoring pass of a second is followed by a second of sampling.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Generic, TypeVar

Key = TypeVar("Key")


class Shares(Generic[Key]):
    """Accounts in seconds of the contenders that want turns."""

    def __init__(self) -> None:
        self._used: dict[Key, float] = {}
        self._active: set[Key] = set()

    def pick(self, contenders: Collection[Key]) -> Key:
        """The contender with the least time used; there must be one."""
        staying = [self._used[key] for key in contenders if key in self._active]
        floor = min(staying, default=0.0)
        for key in contenders:
            if key not in self._active:
                self._used[key] = max(self._used.get(key, 0.0), floor) if staying else 0.0
        self._active = set(contenders)
        for key in list(self._used):
            if key not in self._active and self._used[key] <= floor:
                del self._used[key]
        return min(contenders, key=lambda key: self._used[key])

    def charge(self, key: Key, seconds: float) -> None:
        """It used that much of the worker."""
        self._used[key] = self._used.get(key, 0.0) + seconds

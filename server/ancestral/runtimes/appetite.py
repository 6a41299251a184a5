"""How much memory a forward pass takes, measured on a small one."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode


class _Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Bytes of the storages that operators have made and that are still alive."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.alive: int = 0
        self.most: int = 0
        self._known: set[int] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        for value in args:
            if isinstance(value, torch.Tensor):
                self._known.add(value.untyped_storage()._cdata)
        found = func(*args, **(kwargs or {}))
        for value in found if isinstance(found, (tuple, list)) else (found,):
            if isinstance(value, torch.Tensor):
                self._see(value.untyped_storage())
        return found

    def _see(self, storage: torch.UntypedStorage) -> None:
        key = storage._cdata
        if key in self._known:
            return
        self._known.add(key)
        self.alive += storage.nbytes()
        self.most = max(self.most, self.alive)
        weakref.finalize(storage, self._forget, key, storage.nbytes())

    def _forget(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.alive -= size


def peak_bytes(run: Callable[[], object]) -> int:
    """The most memory that tensors made in `run` take at a time."""
    with torch.inference_mode(), _Watch() as watch:
        run()
    most: int = watch.most
    return most

"""Numbers that a forward pass makes for itself, in the precision of its weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

_FACTORIES = (torch.zeros, torch.ones, torch.eye, torch.linspace, torch.logspace, torch.full,
              torch.arange, torch.scalar_tensor)  # fmt: skip


class Constants(TorchFunctionMode):
    """Inside, what a factory would make in torch's default type it makes in `dtype`.

    A module in float64 is then one whose coordinate planes are in float64 too.
    """

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func in _FACTORIES and kwargs.get("dtype") is None:
            made = func(*args, **kwargs)
            if made.dtype is not torch.get_default_dtype():
                return made
            return func(*args, **{**kwargs, "dtype": self.dtype})
        return func(*args, **kwargs)

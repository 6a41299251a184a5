"""A program's weights in a runtime's precision: one copy in a process, however many batches run."""

from __future__ import annotations

import threading
from weakref import WeakKeyDictionary

import torch

from ancestral.compile import Program
from ancestral.compile.graph import Graph

_GRAPHS: WeakKeyDictionary[Program, dict[tuple[torch.dtype, torch.device], Graph]] = (
    WeakKeyDictionary()
)
_LOCK = threading.Lock()


def folded_graph(program: Program, dtype: torch.dtype, device: torch.device) -> Graph:
    """The graph of a program, what follows from the weights alone computed; made once."""
    with _LOCK:
        known = _GRAPHS.setdefault(program, {})
        if (dtype, device) not in known:
            known[dtype, device] = program.graph.to(dtype, device).folded()
        return known[dtype, device]

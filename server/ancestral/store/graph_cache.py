"""Traced graphs kept on disk: a package is traced and checked once per machine, not at every start.

Processes that share the folder do it once, too: one does, those that want the same graph meanwhile
wait for it and read it.

An entry is one safetensors file: the graph's document (see `graph_file`) in the header, and those
constants that are no weights of the network. It is written after the program made of it has passed
its parity check. The key covers everything that either follows from: the package, the order, the
source of this library, torch and the kind of processor.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ancestral.compile import CompileError, Graph, Tracing
from ancestral.compile.capture import Inputs, capture
from ancestral.locks import alone
from ancestral.models.network import Network
from ancestral.store.graph_file import graph_text, parse_graph

logger = logging.getLogger("ancestral.store")


class CachedTracing(Tracing):
    """Traces a network, or finds the graph in `folder`, where at most one entry is kept."""

    def __init__(self, folder: Path, key: str) -> None:
        self._file = folder / f"{key}.safetensors"
        self._traced: tuple[Graph, dict[str, Tensor]] | None = None
        self.checked = False
        self._held = ExitStack()  # the lock, while it is traced and checked
        self._waited = False

    def __call__(
        self, network: Network, example: Inputs, dynamic: Sequence[dict[int, str]]
    ) -> Graph:
        state: dict[str, Tensor] = dict(network.named_parameters(remove_duplicate=False))
        state.update(network.named_buffers(remove_duplicate=False))
        found = self._read(state)
        if found is None and not self._waited:  # nobody has traced it, or somebody is about to
            self._waited = True
            self._held.enter_context(alone(self._file.parent / ".lock"))
            found = self._read(state)
        self.checked = found is not None
        if found is None:
            found = capture(network, example, dynamic)
            self._traced = (found, state)
        return found

    @contextmanager
    def alone(self) -> Iterator[None]:
        with self._held:
            yield

    def keep(self) -> None:
        if self._traced is None:
            return
        graph, state = self._traced
        self._traced = None
        places = {_place(tensor): name for name, tensor in state.items() if tensor.numel()}
        bound = {name: places.get(_place(tensor)) for name, tensor in graph.constants.items()}
        own = {name: graph.constants[name].contiguous() for name, at in bound.items() if at is None}
        try:
            header = {"graph": graph_text(graph), "weights": json.dumps(bound)}
            parse_graph(header["graph"])
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=self._file.parent) as staging:
                written = Path(staging) / "entry"
                save_file(own, written, header)
                for old in self._file.parent.glob("*.safetensors"):
                    old.unlink(missing_ok=True)
                os.replace(written, self._file)
        except (OSError, ValueError, KeyError, TypeError, CompileError, SafetensorError) as error:
            logger.debug("the graph of %s is not kept: %s", self._file.parent.name, error)

    def _read(self, state: dict[str, Tensor]) -> Graph | None:
        try:
            with safe_open(self._file, "pt") as entry:
                header = entry.metadata()
                graph = parse_graph(header["graph"])
                bound = json.loads(header["weights"])
                constants = {
                    name: entry.get_tensor(name) if bound[name] is None else state[bound[name]]
                    for name in graph.constants
                }
        except (OSError, ValueError, KeyError, TypeError, CompileError, SafetensorError):
            return None  # not there, or not whole: it is traced and written again
        constants = {name: tensor.detach() for name, tensor in constants.items()}
        return Graph(graph.inputs, constants, graph.nodes, graph.output, graph.batched)


def _place(tensor: Tensor) -> tuple[object, ...]:
    return tensor.data_ptr(), tensor.dtype, tuple(tensor.shape), tuple(tensor.stride())


@cache
def library() -> str:
    """A digest of what traces, compiles and runs: this library's source, torch, the processor."""
    found = hashlib.sha256(torch.__version__.encode())
    found.update(torch.backends.cpu.get_cpu_capability().encode())
    root = Path(__file__).resolve().parents[1]
    for part in ("compile", "models", "runtimes", "likelihoods"):
        for file in sorted((root / part).rglob("*.py")):
            if file.is_relative_to(root / "runtimes" / "native"):
                continue  # runs what is compiled, and has no part in compiling it
            found.update(file.relative_to(root).as_posix().encode())
            found.update(file.read_bytes())
    return found.hexdigest()

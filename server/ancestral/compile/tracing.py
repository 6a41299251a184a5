"""How a network becomes a graph: by tracing it, or from where a traced graph was kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from ancestral.compile.capture import Inputs, capture
from ancestral.compile.graph import Graph
from ancestral.models.network import Network


class Tracing:
    """Traces every time; a subclass may remember.

    `checked` says that the program of the graph it last gave has passed its parity check before.
    """

    checked: bool = False

    def __call__(
        self, network: Network, example: Inputs, dynamic: Sequence[dict[int, str]]
    ) -> Graph:
        """The graph of the network; raises CompileError where it cannot be traced."""
        return capture(network, example, dynamic)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Around tracing and checking: others who want the same graph may wait for it."""
        yield

    def keep(self) -> None:
        """Called when the program of the graph has passed its parity check."""

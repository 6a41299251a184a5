"""Scoring by ONNX Runtime: the teacher-forced graph's params, the likelihood summed in float64."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ancestral.compile import CompileError, Program
from ancestral.models.data import ConditionSpec
from ancestral.models.network import Network
from ancestral.runtimes.long_items import LongItems
from ancestral.runtimes.onnx.forward import forward_graph
from ancestral.runtimes.onnx.session import Session
from ancestral.runtimes.onnx.writer import Unwritten
from ancestral.runtimes.scorer import Scorer

log = logging.getLogger(__name__)


class OnnxScorer(Scorer):
    """See `runtimes.scorer.Scorer`. `program` is asked for when something is first scored.

    Where it is None, or its graph has an operator without a form in ONNX, torch computes the pass.
    """

    def __init__(
        self,
        program: Callable[[], Program | None],
        network: Network,
        conditions: Sequence[ConditionSpec] = (),
        *,
        order: npt.NDArray[np.int64] | None = None,
        device: torch.device | str = "cpu",
        long_items: LongItems | None = None,
    ) -> None:
        super().__init__(network, conditions, order=order, device=device, long_items=long_items)
        self._program = program
        self._lock = threading.Lock()
        self._made = self._measuring = False
        self._session: Session | None = None
        self._batched = True

    def prepare(self) -> None:
        _ = self.session

    @property
    def session(self) -> Session | None:
        """The graph, made once; None where torch stands in."""
        with self._lock:
            if not self._made:
                self._session = self._new_session()
                self._made = True
            return self._session

    def _new_session(self) -> Session | None:
        try:
            program = self._program()
        except CompileError:  # torch scores what has no sampler
            return None
        if program is None:
            return None
        self._batched = program.graph.batched
        try:
            model = forward_graph(program.graph, self._network, self._specs)
            return Session(model, self._device, threads=torch.get_num_threads())
        except Unwritten as reason:
            log.info("scoring by torch: ONNX has no form of %s", reason)
            return None

    def _measure(self, sites: int, conditions: Sequence[Tensor]) -> int:
        """By a pass in torch, whose memory can be watched; ONNX Runtime's is about the same."""
        self._measuring = True
        try:
            return super()._measure(sites, conditions)
        finally:
            self._measuring = False

    def _params(self, codes: Tensor, conditions: Sequence[Tensor]) -> Tensor:
        session = None if self._measuring else self.session
        if session is None:
            return super()._params(codes, conditions)
        names = ["codes", *(spec.name for spec in self._specs)]
        given = [codes, *(c.expand(len(codes), *c.shape[1:]) for c in conditions)]
        if self._batched:
            return session.run(dict(zip(names, given, strict=True)))[0]
        rows = [
            session.run({n: g[i : i + 1] for n, g in zip(names, given, strict=True)})[0]
            for i in range(len(codes))
        ]
        return torch.cat(rows)

"""A loaded package and what samples it: its program, its runtime, its fingerprint."""

from __future__ import annotations

import hashlib
import threading
from functools import cached_property, partial
from typing import Self

import numpy as np

from ancestral import compile as compiler
from ancestral.engine.display import model_html
from ancestral.engine.fingerprint import digest, fingerprint
from ancestral.engine.length import sites_of
from ancestral.engine.runtimes import Place, RuntimeKind, new_runtime, runtime_kind, runtime_of
from ancestral.runtimes.base import Runtime
from ancestral.runtimes.derive import derive
from ancestral.runtimes.ensemble import EnsembleRuntime, EnsembleScorer
from ancestral.runtimes.long_items import LongItems
from ancestral.runtimes.scorer import Scorer, scorer_of
from ancestral.settings import Settings
from ancestral.store.graph_cache import CachedTracing, library
from ancestral.store.package import Package


class Loaded:
    """A package in memory. Compiling waits until a program is asked for; threads may share it.

    An ensemble over orders has one of its own kind for each, in `members`.
    """

    def __init__(
        self, package: Package, runtime: str | None = None, cores: int | None = None
    ) -> None:
        self.package = package
        self.cores = cores or Settings.from_env().cores
        settings = Settings.from_env()
        self.place = Place(settings.device, settings.precision)
        self.kind = runtime_kind(runtime or settings.runtime, self.place.device)
        self.manifest = package.manifest
        self.name: str = package.manifest.name
        self.version: int = package.manifest.version
        self.label: str = package.manifest.label
        self.data = package.data
        self.likelihood = package.likelihood
        self.network = package.network.eval()
        self.conditions = package.conditions
        self.order = package.order
        reference = package.manifest.reference
        self._reference = np.array(() if reference is None else reference.scores)
        self._lock = threading.Lock()
        self._program: compiler.Program | None = None
        self._fallback_reason: str | None = None
        self._digest: str | None = None
        _ = self.members, self.scorer  # now, while no thread shares them

    @cached_property
    def members(self) -> tuple[Self, ...]:
        """Of an ensemble: itself under each of its orders, in the manifest's order."""
        each = map(self.package.for_order, self.manifest.orders)
        return tuple(type(self)(package, self.kind, self.cores) for package in each)

    @cached_property
    def scorer(self) -> Scorer | EnsembleScorer:
        """What scores: torch, or ONNX Runtime where that is what samples, too."""
        long_items = LongItems(lambda: self.program, lambda: self.new_runtime(1))
        if self.kind != "onnx":
            device = self.place.device
            return scorer_of(self.network, self.conditions, self.order, long_items, device)
        if self.members:
            return EnsembleScorer([member.scorer for member in self.members])
        from ancestral.runtimes.onnx.scorer import OnnxScorer

        return OnnxScorer(
            lambda: self.program,
            self.network,
            self.conditions,
            order=self.order,
            device=self.place.device,
            long_items=long_items,
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.label}: {self.data}>"

    def _repr_html_(self) -> str:
        """For notebooks."""
        return model_html(self.package, self.conditions)

    @property
    def default_sites(self) -> int:
        """Sites of an item whose length nobody names."""
        return sites_of(self.data, self.manifest.data.length, None, None)

    @property
    def program(self) -> compiler.Program | None:
        """The derived step program, compiled once; None where a rule is missing.

        An ensemble has a program for each order: this is that of the first.
        Raises CausalityError where the network reads its future, ParityError for a wrong program.
        """
        if self.members:
            return self.members[0].program
        with self._lock:
            if self._program is None and self._fallback_reason is None:
                try:
                    self._program = derive(
                        self.network, self.conditions, self.order, self._tracing()
                    )
                except (compiler.CausalityError, compiler.ParityError):
                    raise
                except compiler.CompileError as error:
                    self._fallback_reason = str(error)
            return self._program

    def prepare(self) -> None:
        """Compile what samples, under every order, so that no request waits for it."""
        for model in self.members or (self,):
            _ = model.program
            model.scorer.prepare()

    def _tracing(self) -> CachedTracing:
        """Where the graph is kept: one entry for each version and order of a package."""
        identity = [self.weights, library(), self.manifest.model_dump_json()]
        key = hashlib.sha256("\n".join(identity).encode()).hexdigest()[:32]
        order = "" if self.order is None else hashlib.sha256(self.order.tobytes()).hexdigest()[:8]
        folder = Settings.from_env().cache / "graphs" / f"{self.name}-{self.version}-{order}"
        return CachedTracing(folder, key)

    @property
    def derived(self) -> bool:
        """Whether sampling runs a step program; else it re-runs the forward for every site."""
        if self.members:
            return all(member.derived for member in self.members)
        return self.program is not None

    @property
    def fallback_reason(self) -> str | None:
        reasons = [member.fallback_reason for member in self.members]
        if self.members:
            return next((reason for reason in reasons if reason is not None), None)
        return None if self.derived else self._fallback_reason

    @property
    def runtime(self) -> RuntimeKind:
        """The runtime that samples: the one asked for, or what stands in for it."""
        return self.stands_in(self.kind)

    def stands_in(self, kind: RuntimeKind) -> RuntimeKind:
        """What samples where a runtime of that kind is asked for."""
        if self.members:
            return self.members[0].stands_in(kind)
        return runtime_of(kind, self.program, self.network)

    def new_runtime(
        self, slots: int, kind: RuntimeKind | None = None, cores: int | None = None
    ) -> Runtime:
        """A runtime with its own running batch; `kind` and `cores` override the model's own."""
        if self.members:
            makers = [partial(m.new_runtime, kind=kind, cores=cores) for m in self.members]
            return EnsembleRuntime(slots, makers)
        kind = self.kind if kind is None else runtime_kind(kind, self.place.device)
        program = None if kind == "naive" else self.program
        cores = cores or self.cores
        return new_runtime(kind, program, self.network, slots, self.order, cores, self.place)

    @property
    def weights(self) -> str:
        """A digest of the weights."""
        if self._digest is None:
            self._digest = digest(self.network)
        return self._digest

    @property
    def fingerprint(self) -> str:
        """What values are bit-exact under: package, compiler, runtime, precision, device."""
        return fingerprint(self.label, self.weights, self.runtime, self.place)

"""`ancestral.load(name)`: score, sample and stream with one object, in a program or the server."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ancestral import compile as compiler
from ancestral.engine import conditions as conditioning
from ancestral.engine.fingerprint import digest, fingerprint
from ancestral.engine.known import KnownError, known_by_site
from ancestral.engine.length import sites_of
from ancestral.engine.orders import OrderError, order_for_hole
from ancestral.engine.runtimes import RuntimeKind, new_runtime, runtime_kind, runtime_of
from ancestral.engine.sampling import Chunk, Samples, bits_per_dim, collect, drive, fresh_seed
from ancestral.engine.scoring import Score, checked_item, item_list, score_of
from ancestral.runtimes.base import Runtime, Sampling, SlotRequest
from ancestral.runtimes.derive import derive
from ancestral.runtimes.embedder import chosen_layer, embed
from ancestral.runtimes.ensemble import EnsembleRuntime, chosen_member
from ancestral.runtimes.scorer import scorer_of
from ancestral.settings import Settings
from ancestral.store.graph_cache import CachedTracing, library
from ancestral.store.package import Package, find, load_package

SLOTS = 16  # running batch of a library call; further items wait their turn
SAMPLE_SITES = 256  # sites per step where nobody watches
STREAM_SITES = 16  # sites per step, and so per chunk, of `Model.stream`

Condition = Mapping[str, Any]


def load(
    name_or_path: str | Path,
    root: str | Path | None = None,
    version: int | None = None,
    runtime: str | None = None,
) -> Model:
    """The model NAME, NAME/VERSION or at a package's folder; `root` defaults to the settings'.

    `runtime` is what samples where a program has been derived and it has all that the program
    needs; it defaults to the settings', too.

    Raises PackageError naming the file at fault.
    """
    path = Path(name_or_path)
    if root is None and (path / "model.json").is_file():
        return Model(load_package(path), runtime)
    folder = Settings.from_env().models if root is None else Path(root)
    return Model(load_package(find(str(name_or_path), folder, version)), runtime)


class Model:
    """A loaded package. Compiling waits for the first sample; threads may share a model.

    An ensemble over orders has a model of its own for each, in `members`.
    """

    def __init__(self, package: Package, runtime: str | None = None) -> None:
        self.package = package
        self.kind = runtime_kind(runtime or Settings.from_env().runtime)
        self.manifest = package.manifest
        self.name: str = package.manifest.name
        self.version: int = package.manifest.version
        self.data = package.data
        self.likelihood = package.likelihood
        self.network = package.network.eval()
        self.conditions = package.conditions
        self.order = package.order
        self.members = tuple(
            Model(package.for_order(name), runtime) for name in self.manifest.orders
        )
        self.scorer = scorer_of(self.network, self.conditions, self.order)
        reference = package.manifest.reference
        self._reference = np.array(() if reference is None else reference.scores)
        self._lock = threading.Lock()
        self._program: compiler.Program | None = None
        self._fallback_reason: str | None = None
        self._digest: str | None = None

    def __repr__(self) -> str:
        return f"<Model {self.name}/{self.version}: {self.data}>"

    # What samples, and under which fingerprint.

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

    def new_runtime(self, slots: int, kind: RuntimeKind | None = None) -> Runtime:
        """A runtime with its own running batch; `kind` overrides the model's own."""
        if self.members:
            return EnsembleRuntime(slots, [partial(m.new_runtime, kind=kind) for m in self.members])
        kind = self.kind if kind is None else kind
        program = None if kind == "naive" else self.program
        return new_runtime(kind, program, self.network, slots, self.order)

    @property
    def weights(self) -> str:
        """A digest of the weights."""
        if self._digest is None:
            self._digest = digest(self.network)
        return self._digest

    @property
    def fingerprint(self) -> str:
        """What values are bit-exact under: package, compiler, runtime, precision, device."""
        return fingerprint(f"{self.name}/{self.version}", self.weights, self.runtime)

    # Requests: orders, conditions, lengths, known values.

    def under(self, order: str | None) -> Model:
        """The member under the order of that name; this model for None. Raises OrderError."""
        if order is None:
            return self
        names = list(self.manifest.orders)
        if order not in names:
            raise OrderError(order, names)
        return self.members[names.index(order)]

    def order_of(self, known: Any, known_mask: Any, sites: int) -> str | None:
        """The order of an ensemble that suits the known values; None where all suit."""
        if not self.members or known is None:
            return None
        _, kept = known_by_site(self.data, None, sites, known=known, known_mask=known_mask)
        if kept is None or not kept.any():
            return None
        return order_for_hole(self.manifest.orders, kept)

    def member_of(self, order: str | None, seed: int, item: int) -> int:
        """Which member draws an item: that of the order, else one chosen by the item's noise."""
        if order is not None:
            return self.members.index(self.under(order))
        return chosen_member(seed, item, len(self.members)) if self.members else 0

    def conditions_from(
        self, condition: Condition | None, count: int | None = None
    ) -> tuple[torch.Tensor, ...]:
        """The condition's tensors in the manifest's order, of one row, or `count` where listed.

        Raises ConditionError (a ValueError) whose `field` names the one at fault.
        """
        found = conditioning.tensors(self.conditions, condition, count)
        return tuple(tensor for tensor in found if tensor is not None)

    def sites_of(
        self,
        sites: int | None = None,
        seconds: float | None = None,
        conditions: Sequence[torch.Tensor] = (),
    ) -> int:
        """Sites of an item: as asked, as a series covers, or the default. Raises LengthError."""
        if sites is None and seconds is None and conditions:
            sites = conditioning.sites_of(self.conditions, conditions)
        return sites_of(self.data, self.manifest.data.length, sites, seconds)

    def slot_request(
        self,
        *,
        seed: int,
        item: int,
        sites: int,
        conditions: tuple[torch.Tensor, ...] = (),
        sampling: Sampling | None = None,
        prefix: Any = None,
        known: Any = None,
        known_mask: Any = None,
        replay: npt.NDArray[Any] | None = None,
        order: str | None = None,
    ) -> SlotRequest:
        """One item's request; `prefix`, `known`: see `known_by_site`.

        Of an ensemble: `order` names the member, else the known values choose it, or the noise.
        Raises KnownError and OrderError.
        """
        order = order or self.order_of(known, known_mask, sites)
        if self.members and order is None and prefix is not None:
            raise KnownError("prefix", "is in generation order: name the order, or give known")
        member = self.member_of(order, seed, item)
        ranks = self.members[member].order if self.members else self.order
        values, mask = known_by_site(
            self.data, ranks, sites, prefix=prefix, known=known, known_mask=known_mask
        )
        return SlotRequest(
            seed=seed,
            item=item,
            sites=sites,
            conditions=conditions,
            sampling=sampling or Sampling(),
            known=values,
            known_mask=mask,
            replay=replay,
            member=member,
        )

    def item_of(self, values: npt.NDArray[Any], member: int = 0) -> npt.NDArray[Any]:
        """An item in its own shape from its values [S, C] in (the member's) generation order."""
        if self.members:
            return self.members[member].item_of(values)
        by_position = np.empty_like(values)
        by_position[slice(None) if self.order is None else self.order] = values
        item = self.data.from_sites(torch.from_numpy(by_position)[None])[0]
        return np.asarray(item)

    # The verbs.

    def log_prob(
        self,
        items: Any,
        condition: Condition | None = None,
        marginal: bool = False,
        order: str | None = None,
    ) -> list[Score]:
        """Score items: a batch [B, *shape], a list of them (of any lengths), or a single one.

        Labels that are missing are summed out where `marginal`. Items of one shape share passes.
        An ensemble's score is the mean of its likelihoods, or under `order` that member's alone.
        Raises ItemError (with the index), ConditionError or OrderError.
        """
        if order is not None:
            return self.under(order).log_prob(items, condition, marginal)
        entries = item_list(self.data, items)
        codes = [checked_item(self.data, index, entry) for index, entry in enumerate(entries)]
        rows = conditioning.tensors(self.conditions, condition, len(codes), optional=marginal)
        found: dict[int, Score] = {}
        for group in _by_shape(codes):
            sites = self.data.sites(codes[group[0]])
            conditioning.check_sizes(self.conditions, rows, self.data, sites, whole=False)
            batch = torch.stack([codes[index] for index in group])
            some = [row if row is None or len(row) == 1 else row[group] for row in rows]
            found.update(zip(group, self.score_rows(batch, some), strict=True))
        return [found[index] for index in range(len(codes))]

    def score_rows(self, codes: torch.Tensor, rows: Sequence[torch.Tensor | None]) -> list[Score]:
        """Score checked items [B, *shape] in one go; labels that are None are summed out."""
        marginalised = any(row is None for row in rows)
        return [self._score(nats, marginalised) for nats in self.scorer.marginal(codes, rows)]

    def _score(self, nats: torch.Tensor, marginalised: bool) -> Score:
        """The percentile is among the package's reference, made with the true labels or without.

        Summing labels out lowers a score by -log of the label's prior at most: little beside the
        spread of the reference.
        """
        reference = self.manifest.reference
        return score_of(
            nats,
            self._reference,
            per_bits=reference is not None and reference.unit == "-bits/dim",
            marginalised=marginalised,
        )

    def layer(self, layer: int | None = None) -> int:
        """The layer that `embed` takes, 1 … the last. Raises LayerError for what is not there."""
        return chosen_layer(self.network, layer)

    def embed(
        self, items: Any, condition: Condition | None = None, *, layer: int | None = None
    ) -> npt.NDArray[np.float32]:
        """Hidden states after `layer` layers (the middle one), averaged over positions: [B, width].

        `items` as for `log_prob`, of one shape. Raises LayerError, ItemError or ConditionError.
        """
        chosen = self.layer(layer)
        entries = item_list(self.data, items)
        codes = [checked_item(self.data, index, entry) for index, entry in enumerate(entries)]
        rows = self.conditions_from(condition, len(codes))
        return self.embed_rows(torch.stack(codes), rows, chosen)

    def embed_rows(
        self, codes: torch.Tensor, rows: Sequence[torch.Tensor], layer: int
    ) -> npt.NDArray[np.float32]:
        """Represent checked items [B, *shape] in one go."""
        return embed(self.network, codes, rows, layer).numpy()

    def stream(
        self,
        count: int = 1,
        seed: int | None = None,
        condition: Condition | None = None,
        *,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        prefix: Any = None,
        known: Any = None,
        known_mask: Any = None,
        sites: int | None = None,
        seconds: float | None = None,
        order: str | None = None,
        first_item: int = 0,
        every: int = STREAM_SITES,
    ) -> Iterator[Chunk]:
        """Chunks of about `every` sites as they are drawn, items interleaved, sites in order.

        `order` names a member of an ensemble, under which everything is then drawn. A chunk's
        nats are those of the member that draws it. Closing the iterator stops the work. Raises
        ValueError naming the field, before any work.
        """
        if count < 1:
            raise ValueError(f"count: must be at least 1, not {count}")
        rows = self.conditions_from(condition, count)
        length = self.sites_of(sites, seconds, rows)
        conditioning.check_sizes(self.conditions, rows, self.data, length)
        seed = fresh_seed() if seed is None else seed
        requests = [
            self.slot_request(
                seed=seed,
                item=first_item + index,
                sites=length,
                conditions=tuple(row[[index if len(row) > 1 else 0]] for row in rows),
                sampling=Sampling(temperature, top_k, top_p),
                prefix=prefix,
                known=known,
                known_mask=known_mask,
                order=order,
            )
            for index in range(count)
        ]
        return drive(self.new_runtime(min(count, SLOTS)), requests, every)

    def sample(
        self,
        count: int = 1,
        seed: int | None = None,
        condition: Condition | None = None,
        **options: Any,
    ) -> Samples:
        """`count` finished items; `options` are those of `stream`. An omitted seed is drawn."""
        seed = fresh_seed() if seed is None else seed
        chunks = self.stream(count, seed, condition, **{"every": SAMPLE_SITES, **options})
        return self.collect(chunks, seed, condition, options.get("order"))

    def collect(
        self,
        chunks: Iterable[Chunk],
        seed: int,
        condition: Condition | None = None,
        order: str | None = None,
    ) -> Samples:
        """The items of a stream and their scores; `condition` and `order` are the stream's.

        Items of an ensemble that no order was named for, and no known values chose, are scored by
        the ensemble, others by the member that drew them.
        """
        chunks = list(chunks)
        samples = collect(
            chunks, self.item_of, seed=seed, fingerprint=self.fingerprint, derived=self.derived
        )
        if not self.members:
            return samples
        drew = {chunk.item: chunk.member for chunk in chunks}
        names = list(self.manifest.orders)
        samples = replace(samples, orders=tuple(names[drew[item]] for item in sorted(drew)))
        if order is not None or any(chunk.given.any() for chunk in chunks):
            return samples
        rows = self.conditions_from(condition, len(samples.items))
        codes = [checked_item(self.data, index, item) for index, item in enumerate(samples.items)]
        nats = self.scorer.per_dim(torch.stack(codes), rows).sum((1, 2)).numpy()
        bits = bits_per_dim(nats, samples.items[0].size)
        return replace(samples, log_prob=nats, sampled_log_prob=nats, bits_per_dim=bits)

    def mixture(
        self, item: npt.NDArray[Any], rows: Sequence[torch.Tensor], index: int
    ) -> npt.NDArray[np.float64]:
        """The ensemble's map [S, C] of one drawn item, the `index`-th of those with these rows."""
        own = [row[[index if len(row) > 1 else 0]] for row in rows]
        codes = checked_item(self.data, index, item)[None]
        return np.asarray(self.scorer.per_dim(codes, own)[0])


def _by_shape(codes: Sequence[torch.Tensor]) -> list[list[int]]:
    groups: dict[torch.Size, list[int]] = {}
    for index, code in enumerate(codes):
        groups.setdefault(code.shape, []).append(index)
    return list(groups.values())

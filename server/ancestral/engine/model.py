"""`ancestral.load(name)`: score, sample and stream with one object, in a program or the server."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch

from ancestral.engine import conditions as conditioning
from ancestral.engine.addressed import Addressed, Condition
from ancestral.engine.sampling import Chunk, Samples, bits_per_dim, collect, drive, fresh_seed
from ancestral.engine.scoring import Score, checked_item, item_list, score_of
from ancestral.models.rounding import Precision
from ancestral.runtimes.base import Sampling
from ancestral.runtimes.embedder import chosen_layer, embed
from ancestral.runtimes.scorer import Scorer
from ancestral.settings import Settings
from ancestral.store.package import load_package
from ancestral.store.versions import find

SLOTS = 16  # running batch of a library call; further items wait their turn
SAMPLE_SITES = 256  # sites per step where nobody watches
STREAM_SITES = 16  # sites per step, and so per chunk, of `Model.stream`


def load(
    name_or_path: str | Path,
    root: str | Path | None = None,
    version: int | None = None,
    runtime: str | None = None,
    weights: str | None = None,
    cores: int | None = None,
) -> Model:
    """The model NAME, NAME/VERSION or at a package's folder; `root` defaults to the settings'.

    `runtime` is what samples where a program has been derived and it has all that the program
    needs; `weights` what its matrices are rounded to, for sampling and scoring alike; `cores` how
    many threads share a running batch. All default to the settings', `weights` then to the
    package's own.

    Raises PackageError naming the file at fault.
    """
    given = Settings.from_env(weights=weights)
    path = Path(name_or_path)
    if root is not None or not (path / "model.json").is_file():
        folder = given.models if root is None else Path(root)
        path = find(str(name_or_path), folder, version)
    return Model(load_package(path, cast(Precision, given.weights) or None), runtime, cores)


class Model(Addressed):
    """A loaded package. Compiling waits for the first sample; threads may share a model.

    An ensemble over orders has a model of its own for each, in `members`.
    """

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
        return self.scores_of(self.scorer.marginal(codes, rows), rows)

    def scores_of(self, nats: torch.Tensor, rows: Sequence[torch.Tensor | None]) -> list[Score]:
        """The verdicts on items whose maps [B, S, C] are known."""
        marginalised = any(row is None for row in rows)
        return [self._score(item, marginalised) for item in nats]

    def _score(self, nats: torch.Tensor, marginalised: bool) -> Score:
        """The percentile is among the package's reference, made with the true labels or without.

        Summing labels out lowers a score by -log of the label's prior at most: little beside the
        spread of the reference.
        """
        reference = self.manifest.reference
        return score_of(
            nats,
            self.data,
            self._reference,
            per_bits=reference is not None and reference.unit == "-bits/dim",
            marginalised=marginalised,
        )

    def entropy(
        self, items: Any, condition: Condition | None = None, order: str | None = None
    ) -> list[npt.NDArray[np.float64]]:
        """How uncertain the model was before each dimension of the items: nats [S, C] of each.

        The entropy of its distribution given the item's earlier values; where the surprise is
        above it, the item is less likely than the model's own. `items` as for `log_prob`. Raises
        ItemError, ConditionError, and ValueError for an ensemble without an order.
        """
        if self.members and order is None:
            names = ", ".join(self.manifest.orders)
            raise ValueError(f"order: a mixture has no params of its own; name one of {names}")
        model = self.under(order)
        entries = item_list(self.data, items)
        codes = [checked_item(self.data, index, entry) for index, entry in enumerate(entries)]
        rows = self.conditions_from(condition, len(codes))
        each = [tuple(row[[i if len(row) > 1 else 0]] for row in rows) for i in range(len(codes))]
        scorer = Scorer(model.network, model.conditions, order=model.order)
        return [
            scorer.entropy(item[None], own)[0].numpy()
            for item, own in zip(codes, each, strict=True)
        ]

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
        samples = replace(samples, data=self.manifest.data)
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

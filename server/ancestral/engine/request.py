"""Requests as jobs carry them, and the checks that a manifest allows before anything is loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ancestral import likelihoods
from ancestral.engine import conditions as conditioning
from ancestral.engine.known import known_by_site
from ancestral.engine.length import sites_of
from ancestral.engine.orders import OrderError, order_for_hole
from ancestral.engine.values import DTYPES, dtype_of, itemsize
from ancestral.media import MediaError, Text
from ancestral.runtimes.base import Sampling
from ancestral.store.manifest import Manifest

HOLE_NOTE = "values known after an unknown site do not influence it: sites are drawn in order"


class FieldError(ValueError):
    """A request that cannot be met; `field` names what is at fault."""

    def __init__(self, field: str, message: str) -> None:
        self.field = field
        self.message = message
        super().__init__(f"{field}: {message}")


@dataclass(frozen=True, slots=True)
class SampleRequest:
    """A sampling job: `count` items, the i-th drawn with the noise of item `first_item` + i."""

    count: int
    seed: int
    sites: int
    first_item: int = 0
    condition: Mapping[str, Any] | None = None
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    prefix: Any = None
    known: Any = None
    order: str | None = None  # of an ensemble; None: an order for each item, by its noise
    notes: Sequence[str] = ()

    @property
    def sampling(self) -> Sampling:
        return Sampling(self.temperature, self.top_k, self.top_p)

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "seed": str(self.seed), "notes": list(self.notes)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> SampleRequest:
        return cls(**{**data, "seed": int(data["seed"])})


@dataclass(frozen=True, slots=True)
class ScoreRequest:
    """A scoring job: the items' shapes; their values lie one after the other in the payload."""

    shapes: Sequence[Sequence[int]]
    dtype: str
    condition: Mapping[str, Any] | None = None
    marginal: bool = False
    per_dim: bool = False  # whether the answer's payload holds the maps, float64 [S, C] each
    embed: bool = False  # represent the items instead: the payload holds float64 [width] each
    layer: int | None = None  # whose hidden state; None: the middle one
    order: str | None = None  # of an ensemble: the member that scores; None: all together
    context: Mapping[str, Any] = field(default_factory=dict)  # the API's own, for the answer

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "shapes": [list(shape) for shape in self.shapes]}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ScoreRequest:
        return cls(**data)


def checked_sample(
    manifest: Manifest,
    *,
    count: int,
    seed: int,
    sites: int | None = None,
    seconds: float | None = None,
    first_item: int = 0,
    condition: Mapping[str, Any] | None = None,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    prefix: Any = None,
    known: Any = None,
    order: str | None = None,
) -> SampleRequest:
    """The request as a worker takes it. Raises FieldError, or an error with a `field`."""
    data = manifest.data.spec
    specs = tuple(entry.spec for entry in manifest.conditions)
    rows = conditioning.tensors(specs, condition, count)
    if sites is None and seconds is None:
        sites = conditioning.sites_of(specs, rows)
    length = sites_of(data, manifest.data.length, sites, seconds)
    conditioning.check_sizes(specs, rows, data, length)
    _check_cuts(manifest, temperature, top_k, top_p)
    check_order(manifest, order)
    if isinstance(prefix, str):
        prefix = _codes_of(manifest, prefix)
    notes = []
    if order is None and manifest.orders:
        order = order_for(manifest, prefix, known, length)
        if order is not None:
            notes.append(f"drawn and scored under the order {order}, which visits the hole last")
    ranks = manifest.permutation if order is None else manifest.orders[order]
    positions = None if ranks is None else np.asarray(ranks)
    _, mask = known_by_site(data, positions, length, prefix=prefix, known=known)
    if mask is not None:
        whole = mask.all(axis=1)
        partial = mask.any(axis=1) != whole
        joint = likelihoods.from_config(manifest.likelihood).joint
        if joint and partial.any():
            site = int(np.flatnonzero(partial)[0])
            raise FieldError(
                "known", f"holds a part of site {site}, whose dimensions are drawn jointly"
            )
        if not whole.all() and mask[int(np.argmin(whole)) + 1 :].any():
            notes.append(HOLE_NOTE)
    return SampleRequest(
        count=count,
        seed=seed,
        sites=length,
        first_item=first_item,
        condition=condition,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        prefix=prefix,
        known=known,
        order=order,
        notes=tuple(notes),
    )


def _codes_of(manifest: Manifest, prefix: str) -> list[int]:
    codec = manifest.data.media_codec
    if not isinstance(codec, Text):
        raise FieldError("prefix", f"is text; the first sites of {manifest.data.kind} are expected")
    try:
        return [int(code) for code in codec.encode(prefix)]
    except MediaError as error:
        raise FieldError("prefix", str(error)) from error


def check_order(manifest: Manifest, order: str | None) -> None:
    """Raise OrderError where the ensemble has no such order, or there is no ensemble."""
    if order is not None and order not in manifest.orders:
        raise OrderError(order, list(manifest.orders))


def order_for(manifest: Manifest, prefix: Any, known: Any, sites: int) -> str | None:
    """The order of an ensemble under which what is known is known first; None: nothing is."""
    if prefix is not None:
        raise FieldError("prefix", "is in generation order: name the order, or give known")
    _, mask = known_by_site(manifest.data.spec, None, sites, known=known)
    if mask is None or not mask.any():
        return None
    return order_for_hole(manifest.orders, mask)


def sample_bytes(manifest: Manifest, request: SampleRequest) -> int:
    """The most that a sampling job's result stream holds."""
    data = manifest.data.spec
    values = request.count * request.sites * data.dims_per_site
    return values * itemsize(dtype_of(data.levels))


def check_condition(
    manifest: Manifest,
    condition: Mapping[str, Any] | None,
    count: int,
    *,
    sites: int | None = None,
    optional: bool = False,
) -> bool:
    """Whether every condition is given; raises ConditionError naming the field at fault."""
    specs = tuple(entry.spec for entry in manifest.conditions)
    found = conditioning.tensors(specs, condition, count, optional=optional)
    if sites is not None:
        conditioning.check_sizes(specs, found, manifest.data.spec, sites, whole=False)
    return all(tensor is not None for tensor in found)


def _check_cuts(
    manifest: Manifest, temperature: float, top_k: int | None, top_p: float | None
) -> None:
    """Ask the likelihood itself, with a parameter vector of zeros."""
    likelihood = likelihoods.from_config(manifest.likelihood)
    dims = manifest.data.spec.dims_per_site
    params = torch.zeros(1, 1 if likelihood.joint else dims, likelihood.n_params)
    noise = torch.full((1, dims, 2), 0.5, dtype=torch.float64)
    try:
        likelihood.sample(params, noise, temperature=temperature, top_k=top_k, top_p=top_p)
    except ValueError as error:
        names = [name for name in ("top_k", "top_p") if name in str(error)]
        raise FieldError(names[0] if names else "temperature", str(error)) from error


def pack_items(items: Sequence[npt.NDArray[Any]], levels: int | None) -> tuple[list[Any], bytes]:
    """Shapes and payload of a scoring job; real values travel as float32, as the network reads."""
    dtype = DTYPES[dtype_of(levels)]
    payload = b"".join(item.astype(dtype).tobytes() for item in items)
    return [list(item.shape) for item in items], payload


def unpack_items(request: ScoreRequest, payload: bytes) -> list[npt.NDArray[Any]]:
    """The inverse: int64 codes or float32 values."""
    stored = np.dtype(DTYPES[request.dtype])
    wide = np.float32 if request.dtype == "float32" else np.int64
    items, at = [], 0
    for shape in request.shapes:
        count = int(np.prod(shape, dtype=np.int64))
        flat = np.frombuffer(payload, dtype=stored, count=count, offset=at)
        items.append(flat.reshape(tuple(shape)).astype(wide))
        at += count * stored.itemsize
    return items

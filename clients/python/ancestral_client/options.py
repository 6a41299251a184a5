"""What requests may say, as keyword arguments."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypedDict

import numpy as np

from ancestral_client.items import condition_json, known_json

Returned = Literal["log_prob", "bits_per_dim", "per_dim", "heat_map", "percentile", "data"]
LARGEST_JSON_SEED = 2**53 - 1
# A label (its number or name), an array, a file (its path, or WAV or NPY bytes), or a list of these
Condition = Mapping[str, Any]


class Queued(TypedDict, total=False):
    """A job's place in the queue.

    priority           1 (served first) to 3
    timeout_seconds    raise DeadlinePassed if no worker has started by then
    """

    priority: Literal[1, 2, 3]
    timeout_seconds: float


class SampleOptions(Queued, total=False):
    """What to draw.

    count          items
    seed           0 … 2⁶⁴ − 1; drawn where absent
    first_item     item i is drawn as item first_item + i
    condition      values by name
    fit            resample a condition's recordings to what the model takes, and say so in notes
    temperature    0 takes the likeliest value of each site
    prefix         the first sites in generation order; of text, its beginning
    known          shaped like an item, None (or NaN, in an array) where to sample
    order          of an ensemble: draw and score under this one
    sites, seconds length of items of open length
    """

    count: int
    seed: int
    first_item: int
    condition: Condition
    fit: bool
    temperature: float
    top_k: int
    top_p: float
    prefix: Any
    known: Any
    order: str
    sites: int
    seconds: float


class ItemOptions(Queued, total=False):
    """What is said of items that are sent.

    condition    values by name; a list holds one per item
    fit          resize, resample and cast items and conditions to what the model takes, and
                 say so
    """

    condition: Condition
    fit: bool


class ScoreOptions(ItemOptions, total=False):
    """What to say of each item.

    returned    any of log_prob, bits_per_dim, percentile (these by default), per_dim,
                heat_map, data (the item as it was scored)
    marginal    sum out labels that the condition does not give
    order       of an ensemble: score under this one alone
    """

    returned: Sequence[Returned]
    marginal: bool
    order: str


class EmbedOptions(ItemOptions, total=False):
    """layer: the hidden state after that many layers; half of them if absent."""

    layer: int


class BatchLine(TypedDict):
    """One request of a batch; `body` is JSON as it would be posted to `url`."""

    custom_id: str
    url: Literal["/log_prob", "/embed", "/sample"]
    body: Mapping[str, Any]


FileLike = os.PathLike[str] | bytes


def fresh_seed() -> int:
    """A seed that is a JSON number in every language."""
    return secrets.randbelow(LARGEST_JSON_SEED + 1)


def sample_body(model: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """The body of a sampling request. It names a seed, so that it can be repeated."""
    body = {"model": model, **options}
    seed = int(options.get("seed", fresh_seed()))
    body["seed"] = seed if seed <= LARGEST_JSON_SEED else str(seed)
    if "condition" in body:
        body["condition"] = condition_json(body["condition"])
    if isinstance(body.get("prefix"), np.ndarray):
        body["prefix"] = body["prefix"].tolist()
    if "known" in body:
        body["known"] = known_json(body["known"])
    return body

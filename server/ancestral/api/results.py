"""Finished jobs as JSON, PNG, WAV, MIDI, text and NPY."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ancestral.api.problems import Problem
from ancestral.broker import Entry, Job
from ancestral.engine.request import ScoreRequest, unpack_items
from ancestral.engine.values import from_bytes
from ancestral.media import (
    Levels,
    Linear,
    Midi,
    MuLaw,
    Palette,
    Text,
    encode_npy,
    encode_png,
    heat_map_png,
    pcm_bytes,
    wav_header,
)
from ancestral.store import Manifest

Array = npt.NDArray[Any]
JSON, PNG, WAV, PCM = "application/json", "image/png", "audio/wav", "audio/pcm"
NPY, SSE, TEXT, MIDI = "application/x-npy", "text/event-stream", "text/plain", "audio/midi"


def offered(manifest: Manifest) -> list[str]:
    """The media types in which a model's samples can be given, JSON first."""
    codec = manifest.data.media_codec
    kinds = [JSON]
    if isinstance(codec, Levels | Palette) and manifest.data.shape[0] in (1, 3):
        kinds.append(PNG)
    if isinstance(codec, MuLaw | Linear):
        kinds += [WAV, PCM]
    if isinstance(codec, Text):
        kinds.append(TEXT)
    if isinstance(codec, Midi):
        kinds.append(MIDI)
    return [*kinds, NPY, SSE]


@dataclass(frozen=True, slots=True)
class Sampled:
    """A finished sampling job: what was said at its start, its items, what was said at its end."""

    job: str
    started: Mapping[str, Any]
    items: Sequence[Array]
    done: Mapping[str, Any]
    texts: Sequence[str] | None = None  # the items, where the model writes text

    def to_json(self) -> dict[str, Any]:
        names = ("model", "seed", "first_item", "fingerprint", "derived", "notes")
        scores = self.done["items"]
        texts = [{}] * len(scores) if self.texts is None else [{"text": t} for t in self.texts]
        return {
            "job": self.job,
            **{name: self.started[name] for name in names},
            "seconds": self.done["seconds"],
            "sites_per_second": self.done["sites_per_second"],
            "items": [
                {**score, "data": item.tolist(), **text}
                for score, item, text in zip(scores, self.items, texts, strict=True)
            ],
        }


def assemble(job: str, entries: Sequence[Entry], manifest: Manifest) -> Sampled:
    """The items from the chunks of a stream that ended well."""
    started = entries[0].data
    parts: dict[int, list[Array]] = {}
    for entry in entries:
        if entry.event == "output":
            values = from_bytes(entry.payload, started["dtype"], started["dims_per_site"])
            parts.setdefault(entry.data["item"], []).append(values)
    items = [
        shaped(np.concatenate(parts[item]), manifest, ranks_of(started, item))
        for item in sorted(parts)
    ]
    codec = manifest.data.media_codec
    texts = [codec.decode(item) for item in items] if isinstance(codec, Text) else None
    return Sampled(job, started, items, entries[-1].data, texts)


def ranks_of(started: Mapping[str, Any], item: int) -> Sequence[int] | None:
    """The position of each rank of an item; None where they are the same."""
    if "item_orders" in started:
        ranks: Sequence[int] = started["permutations"][started["item_orders"][item]]
        return ranks
    return started["permutation"]  # type: ignore[no-any-return]


def shaped(values: Array, manifest: Manifest, ranks: Sequence[int] | None) -> Array:
    """An item in its own shape from values [S, C] in generation order."""
    if ranks is not None:
        by_position = np.empty_like(values)
        by_position[np.asarray(ranks)] = values
        values = by_position
    if manifest.data.kind == "image":
        return values.T.reshape(manifest.data.shape)
    return values[:, 0]


def encoded(sampled: Sampled, manifest: Manifest, kind: str) -> bytes:
    """The items as PNG (a grid for several), text or NPY [count, …]; one as WAV, PCM or MIDI."""
    codec = manifest.data.media_codec
    if kind == PNG:
        assert isinstance(codec, Levels | Palette)
        return encode_png([item.astype(np.int64) for item in sampled.items], codec)
    if kind in (WAV, PCM):
        assert isinstance(codec, MuLaw | Linear)
        pcm = pcm_bytes(sampled.items[0], codec)
        return pcm if kind == PCM else sound_header(manifest, sampled.started) + pcm
    if kind == MIDI:
        assert isinstance(codec, Midi)
        return codec.decode(sampled.items[0].astype(np.int64))
    if kind == TEXT:
        return "\n".join(sampled.texts or ()).encode()
    dtype = {"float32": np.float32}.get(sampled.started["dtype"], sampled.started["dtype"])
    return encode_npy(np.stack(sampled.items).astype(dtype))


def sound_header(manifest: Manifest, started: Mapping[str, Any]) -> bytes:
    """The WAV header of one item: its length is known before its first sample is."""
    rate = manifest.data.sample_rate
    assert rate is not None
    return wav_header(rate, started["sites"])


def to_pcm(payload: bytes, manifest: Manifest, dtype: str) -> bytes:
    """A chunk of codes as 16-bit little-endian samples."""
    codec = manifest.data.media_codec
    assert isinstance(codec, MuLaw | Linear)
    return pcm_bytes(from_bytes(payload, dtype, 1)[:, 0], codec)


def content_type(kind: str, manifest: Manifest) -> str:
    """`audio/pcm` names its rate and width, text its encoding."""
    if kind == PCM:
        return f"audio/pcm;rate={manifest.data.sample_rate};encoding=s16le;channels=1"
    if kind == TEXT:
        return "text/plain; charset=utf-8"
    return kind


def require_one(count: int, kind: str) -> None:
    """A file of sound or music holds one item."""
    if kind in (WAV, PCM, MIDI) and count != 1:
        raise Problem.of_field("count", f"{kind} holds one item, not {count}")


def scored(job: Job, last: Entry, manifest: Manifest) -> dict[str, Any]:
    """A finished scoring job: of each item what was asked for, or why it could not be read."""
    if job.request["embed"]:
        return embedded(job, last)
    context = job.request["context"]
    returned = context["return"]
    scores = iter(last.data["scores"])
    maps = iter(item_maps(job, last, manifest))
    shown = "data" in returned
    items = iter(unpack_items(ScoreRequest.from_json(job.request), job.payload) if shown else ())
    results: list[dict[str, Any]] = []
    for index, item in enumerate(context["items"]):
        if "error" in item:
            results.append({"index": index, "error": item["error"]})
            continue
        score, nats, codes = next(scores), next(maps, None), next(items, None)
        if "error" in score:
            problem = Problem.of_event(score["error"])
            results.append({"index": index, "error": problem.document()})
            continue
        names = ["dimensions", "marginalised"]
        names += [name for name in ("log_prob", "bits_per_dim") if name in returned]
        names += ["percentile", "reference_n"] if "percentile" in returned else []
        result = {"index": index, **{name: score[name] for name in names}}
        if item["fit"]:
            result["fit"] = item["fit"]
        if nats is not None and "per_dim" in returned:
            result["per_dim"] = nats.tolist()
        if nats is not None and "heat_map" in returned:
            result["heat_map"] = base64.b64encode(heat_map_png(nats)).decode()
        if codes is not None:
            result["data"] = codes.tolist()
        results.append(result)
    return {
        "job": job.id,
        "model": job.model,
        "results": results,
        "seconds": last.data["seconds"],
    }


def embedded(job: Job, last: Entry) -> dict[str, Any]:
    """A finished job of representations: of each item its vector, or why it could not be read."""
    vectors = embeddings(job, last)
    scores = iter(last.data["scores"])
    results: list[dict[str, Any]] = []
    layers = set()
    for index, item in enumerate(job.request["context"]["items"]):
        if "error" in item:
            results.append({"index": index, "error": item["error"]})
            continue
        score = next(scores)
        if "error" in score:
            error = Problem.of_event(score["error"]).document()
            results.append({"index": index, "error": error})
        else:
            layers.add(score["layer"])
            result: dict[str, Any] = {"index": index, "embedding": vectors[index].tolist()}
            results.append(result | ({"fit": item["fit"]} if item["fit"] else {}))
    return {
        "job": job.id,
        "model": job.model,
        "layer": layers.pop(),
        "width": vectors.shape[1],
        "results": results,
        "seconds": last.data["seconds"],
    }


def embeddings(job: Job, last: Entry) -> Array:
    """Representations float32 [items, width]; rows of NaN for items that failed."""
    read = np.frombuffer(last.payload, dtype="<f8").reshape(job.items, -1).astype(np.float32)
    context = job.request["context"]["items"]
    found = np.full((len(context), read.shape[1]), np.nan, dtype=np.float32)
    found[[index for index, item in enumerate(context) if "error" not in item]] = read
    return found


def item_maps(job: Job, last: Entry, manifest: Manifest) -> list[Array]:
    """Maps of nats shaped like the items; empty where none were asked for."""
    if not last.payload:
        return []
    nats = np.frombuffer(last.payload, dtype="<f8")
    maps, at = [], 0
    for shape in job.request["shapes"]:
        size = int(np.prod(shape))
        flat = nats[at : at + size]
        at += size
        if manifest.data.kind == "image":  # [S, C] to [C, H, W]
            maps.append(flat.reshape(-1, shape[0]).T.reshape(shape))
        else:
            maps.append(flat)
    return maps

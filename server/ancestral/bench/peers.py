"""What others would run: the same network with the same weights, sampled by their own code.

Each peer's outputs are held against ours once, on a short item, before anything is timed; then
peer and runtimes take turns, and the fastest round of each counts.
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
import torch.nn.functional as F
from rich.table import Table
from torch import Tensor

from ancestral.bench.machine import CLOCKS, seconds
from ancestral.bench.measure import sample
from ancestral.bench.networks import NETWORKS
from ancestral.bench.ring import RingWaveNet
from ancestral.engine.model import Model, load
from ancestral.engine.parity import random_values
from ancestral.engine.runtimes import RuntimeKind
from ancestral.models.rounding import Precision, round_weights
from ancestral.models.wavenet import WaveNet
from ancestral.runtimes.base import SlotRequest
from ancestral.store.importer import Told, import_checkpoint

ROUNDS = 3  # of a contest; the fastest of each counts
_CHECKED = 24  # sites on which outputs are compared
_TOLERANCE = 1e-3  # of the largest output, float32 on both sides


@dataclass(frozen=True, slots=True)
class Peer:
    """Somebody's sampler of a model. `params` [1, S, P] are their outputs for an item of codes;
    `run` samples so many sites of a batch."""

    name: str
    model: Model
    params: Callable[[Tensor], Tensor]
    run: Callable[[int, int], object]
    batches: tuple[int, ...] | None = None  # those it can do; None: any


@dataclass(frozen=True, slots=True)
class Contest:
    """Sites a second of a runtime and of a peer, in turns on the same network."""

    network: str
    peer: str
    runtime: str
    batch: int
    sites: int  # in a round, of each item
    ours: float
    theirs: float
    difference: float  # of the outputs, over the largest

    @property
    def ratio(self) -> float:
        return self.ours / self.theirs

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"ratio": self.ratio}


def peers(name: str, model: Model) -> Iterator[Peer]:
    """The peers of a named network that are installed."""
    if name == "wavenet-30":
        yield _ring("torch, ring buffers", model, compiled=False)
        yield _ring("torch.compile, ring buffers", model, compiled=True)
        with suppress(ImportError):
            yield _vocoder()
    elif name == "image-gpt-512":
        with suppress(ImportError):
            yield _transformers()


def contest(
    name: str,
    peer: Peer,
    kinds: Sequence[str],
    batches: Sequence[int],
    clock: str = "wall",
    weights: Precision = "float32",
    window: float = 1.0,
) -> Iterator[Contest]:
    """Time the peer and our runtimes in turns, both over the first sites of their items.

    A round of the peer's takes about `window` seconds. Raises ValueError where they disagree.

    Our weights are rounded to `weights` once outputs have been compared; the peer's are not.
    """
    difference = disagreement(peer)
    if difference > _TOLERANCE:
        raise ValueError(f"{peer.name}: its outputs differ by {difference:.1e} of the largest")
    round_weights(peer.model.network, weights)
    now, longest = CLOCKS[clock], peer.model.sites_of(None)
    for batch in batches:
        if peer.batches is not None and batch not in peer.batches:
            continue
        peer.run(batch, 2)  # compiled, allocated
        pace = seconds(partial(peer.run, batch, 16), now) / 16
        sites = max(16, min(longest, int(window / pace)))
        whole = sites if peer.model.manifest.data.length is not None else longest
        requests = [SlotRequest(seed=1, item=item, sites=whole) for item in range(batch)]
        for kind in kinds:
            runtime = peer.model.new_runtime(batch, cast(RuntimeKind, kind))
            ours, theirs = 0.0, 0.0
            for _ in range(ROUNDS):
                _, elapsed, timed = sample(runtime, requests, math.inf, now, sites)
                ours = max(ours, batch * timed / elapsed)
                taken = seconds(partial(peer.run, batch, sites), now)
                theirs = max(theirs, batch * sites / taken)
            ran = runtime.name if weights == "float32" else f"{runtime.name}, {weights}"
            yield Contest(name, peer.name, ran, batch, sites, ours, theirs, difference)


def disagreement(peer: Peer) -> float:
    """The largest difference of outputs on a short item, over the largest output."""
    data = peer.model.manifest.data
    sites = _CHECKED if data.length is not None else peer.model.sites_of(None)
    values = random_values(peer.model, sites)
    codes = torch.from_numpy(peer.model.item_of(values))[None]
    with torch.inference_mode():
        ours = peer.model.network(codes).reshape(1, sites, -1)[:, :_CHECKED]
        theirs = peer.params(torch.from_numpy(values.reshape(1, -1)))[:, :_CHECKED]
    return float((ours - theirs).abs().max() / ours.abs().max())


def _ring(name: str, model: Model, *, compiled: bool) -> Peer:
    net = model.network.module
    if not isinstance(net, WaveNet):
        raise ValueError(f"{name} is a WaveNet's")
    built: dict[int, tuple[RingWaveNet, Callable[[Tensor, Tensor], Tensor]]] = {}

    def ring(batch: int) -> tuple[RingWaveNet, Callable[[Tensor, Tensor], Tensor]]:
        if batch not in built:
            one = RingWaveNet(net, batch)
            built[batch] = (one, torch.compile(one.step) if compiled else one.step)
        return built[batch]

    def run(batch: int, sites: int) -> None:
        with torch.inference_mode():
            one, step = ring(batch)
            one.ring.zero_()
            codes = torch.full((batch,), one.first)
            for t in range(sites):
                logits = step(codes, one.at(t))
                codes = torch.multinomial(F.softmax(logits, 1), 1)[:, 0]

    def params(codes: Tensor) -> Tensor:
        one, step = ring(1)
        one.ring.zero_()
        before = [torch.tensor([one.first]), *codes.T]
        return torch.stack([step(before[t], one.at(t)) for t in range(codes.shape[1])], 1)

    return Peer(name, model, params, run)


def _vocoder() -> Peer:
    """`wavenet-vocoder`'s incremental_forward; only its batch of one draws by itself."""
    from wavenet_vocoder import WaveNet as Theirs

    sizes = NETWORKS["wavenet-30"]["hyperparameters"]
    layers = len(sizes["dilations"])
    torch.manual_seed(0)
    theirs: Any = Theirs(
        out_channels=256,
        layers=layers,
        stacks=3,
        residual_channels=sizes["residual"],
        gate_channels=2 * sizes["gate"],
        skip_out_channels=sizes["skip"],
        kernel_size=2,
        dropout=0,
        weight_normalization=False,
        legacy=False,
    )
    theirs.eval()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "checkpoint.pth"
        torch.save({"state_dict": theirs.state_dict()}, file)
        told = Told("wavenet-vocoder-30", dilations=sizes["dilations"][:10], sample_rate=16000)
        model = load(import_checkpoint(file, Path(folder), told))
    with torch.no_grad():  # later versions, whose layout is imported, scale the sum of the skips
        for layer in theirs.conv_layers:
            layer.conv1x1_skip.weight *= (1 / layers) ** 0.5
            layer.conv1x1_skip.bias *= (1 / layers) ** 0.5

    def run(batch: int, sites: int) -> None:
        with torch.inference_mode():
            theirs.incremental_forward(T=sites)

    def params(codes: Tensor) -> Tensor:
        before = torch.cat([torch.tensor([[127]]), codes[:, :-1]], 1)
        inputs = F.one_hot(before, 256).float().transpose(1, 2)
        found: Tensor = theirs.incremental_forward(
            test_inputs=inputs, T=codes.shape[1], softmax=False, quantize=False
        )
        return found.transpose(1, 2)

    return Peer("wavenet-vocoder 0.1.1, incremental_forward", model, params, run, (1,))


def _transformers() -> Peer:
    """`transformers`' ImageGPT: generate with its cache."""
    import transformers

    given = NETWORKS["image-gpt-512"]
    sizes, levels, shape = given["hyperparameters"], given["data"]["levels"], given["data"]["shape"]
    config = transformers.ImageGPTConfig(
        vocab_size=levels + 1,
        n_positions=shape[1] * shape[2],
        n_embd=sizes["width"],
        n_layer=sizes["layers"],
        n_head=sizes["heads"],
    )
    torch.manual_seed(0)
    theirs: Any = transformers.ImageGPTForCausalImageModeling(config)
    theirs.eval()
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "theirs"
        theirs.save_pretrained(source)
        clusters = [[2 * k / (levels - 1) - 1] * 3 for k in range(levels)]
        (source / "preprocessor_config.json").write_text(json.dumps({"clusters": clusters}))
        told = Told("transformers-image-gpt-512", shape=shape)
        model = load(import_checkpoint(source, Path(folder), told))

    def run(batch: int, sites: int) -> None:
        start = torch.full((batch, 1), levels)
        with torch.inference_mode():
            theirs.generate(
                start,
                attention_mask=torch.ones_like(start),
                do_sample=True,
                top_k=0,
                min_new_tokens=sites,
                max_new_tokens=sites,
                use_cache=True,
                pad_token_id=levels,
                eos_token_id=None,
            )

    def params(codes: Tensor) -> Tensor:
        before = torch.cat([torch.tensor([[levels]]), codes[:, :-1]], 1)
        found: Tensor = theirs(input_ids=before).logits
        return found

    return Peer(f"transformers {transformers.__version__}, generate with cache", model, params, run)


def contests_table(rows: Sequence[Contest]) -> Table:
    """The contests for a terminal."""
    found = Table(
        title="beside others, on the same network with the same weights",
        caption=f"in turns, the fastest of {ROUNDS} rounds of each; outputs compared beforehand",
    )
    for heading in ("network", "runtime", "peer"):
        found.add_column(heading)
    for heading in ("batch", "sites", "ours, sites/s", "theirs", "ratio", "difference"):
        found.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        figures = contest_cells(row)
        found.add_row(row.network, row.runtime, row.peer, *figures)
    return found


def contest_cells(row: Contest) -> list[str]:
    return [
        str(row.batch),
        f"{row.sites:,}",
        f"{row.ours:,.0f}",
        f"{row.theirs:,.0f}",
        f"{row.ratio:.2f} ×",
        f"{row.difference:.0e}",
    ]

"""The training loop: maximum likelihood by stochastic gradients, seeded and resumable."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from ancestral.models.network import Network
from ancestral.train.batches import Batches
from ancestral.train.datasets import Split
from ancestral.train.muon import Muon
from ancestral.train.recipe import Training

SAVE_SECONDS = 60.0  # between two checkpoints
VALIDATION_BATCH = 16
INNER = {"blocks", "layers", "encoder", "decoder"}  # lists of a network's repeated layers
Report = Callable[[int, float, float | None], None]  # step, training and validation bits/dim


@dataclass
class State:
    """What a run consists of: the weights, their running mean, the optimisers and the step."""

    module: nn.Module
    average: dict[str, Tensor]
    best: dict[str, Tensor]
    best_bits: float
    optimizers: list[torch.optim.Optimizer]
    step: int = 0


def rate(training: Training, step: int) -> float:
    """The learning rate at a step, as a factor of the recipe's."""
    rise = min(1.0, (step + 1) / max(1, training.warmup))
    falling = training.decay * training.steps
    fall = min(1.0, (training.steps - step) / falling) if falling else 1.0
    return min(rise, fall)


def optimizers_for(module: nn.Module, training: Training) -> list[torch.optim.Optimizer]:
    """AdamW without decay of vectors; under `muon` the layers' matrices go to Muon instead."""
    matrices: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    vectors: list[nn.Parameter] = []
    for name, parameter in module.named_parameters():
        inner = not INNER.isdisjoint(name.split(".")) and "labels" not in name
        if parameter.dim() < 2:
            vectors.append(parameter)
        elif training.optimizer == "muon" and inner:
            matrices.append(parameter)
        else:
            others.append(parameter)
    groups = [
        {"params": others, "weight_decay": training.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    made: list[torch.optim.Optimizer] = [
        torch.optim.AdamW(
            [group for group in groups if group["params"]],
            lr=training.learning_rate,
            betas=(0.9, 0.99),
        )
    ]
    if matrices:
        made.append(Muon(matrices, lr=training.learning_rate, weight_decay=training.weight_decay))
    return made


def loss(network: Network, codes: Tensor, conditions: Sequence[Tensor], weights: Tensor) -> Tensor:
    """Mean bits per (weighted) dimension of a batch."""
    params = network(codes, *conditions)
    values = network.data.to_sites(codes)  # [B, S, C]
    by_site = params.reshape(*values.shape[:2], *params.shape[-2:])
    nats = network.likelihood.log_prob(by_site, values)
    if weights.dim():
        weights = weights[..., None].expand_as(nats)
        return -(nats * weights).sum() / (weights.sum() * math.log(2))
    return -nats.mean() / math.log(2)


def fit(
    network: Network,
    training: Training,
    batches: Batches,
    validation: Split,
    checkpoint: Path,
    *,
    resume: bool,
    report: Report,
) -> State:
    """Train up to the recipe's steps and leave the best averaged weights in the network."""
    module = network.module
    state = State(
        module,
        {name: tensor.detach().clone() for name, tensor in module.state_dict().items()},
        {},
        math.inf,
        optimizers_for(module, training),
    )
    if resume and checkpoint.is_file():
        restore(state, checkpoint)
    saved = time.monotonic()
    while state.step < training.steps:
        bits = take_step(network, training, state, batches)
        validated = None
        if state.step % training.validate_every == 0 or state.step == training.steps:
            validated = validate(network, state, validation, training)
        report(state.step, bits, validated)
        if time.monotonic() - saved > SAVE_SECONDS or state.step == training.steps:
            save(state, checkpoint)
            saved = time.monotonic()
    module.load_state_dict(state.best or state.average)
    return state


def coarse_loss(network: Network, codes: Tensor, conditions: Sequence[Tensor]) -> Tensor:
    """Mean bits of whether a code lies in the upper half, and of the code, under categoricals: [2].

    The first is the score of a marginal of the same distribution, so the best parameters are the
    same; but its gradient is of strokes, where that of the second is mostly of shades.
    """
    params = network(codes, *conditions)
    logits = params.flatten(1, -3).log_softmax(-1)  # [B, S, C, levels]
    values = network.data.to_sites(codes).unsqueeze(-1)
    half = logits.shape[-1] // 2
    halves = torch.stack([logits[..., :half].logsumexp(-1), logits[..., half:].logsumexp(-1)], -1)
    upper = halves.gather(-1, (values >= half).long()).mean()
    return -torch.stack([upper, logits.gather(-1, values).mean()]) / math.log(2)


def take_step(network: Network, training: Training, state: State, batches: Batches) -> float:
    """One step of the optimisers and of the running mean; the batch's bits/dim."""
    factor = rate(training, state.step)
    for optimizer in state.optimizers:
        for group in optimizer.param_groups:
            group["lr"] = training.learning_rate * factor
        optimizer.zero_grad(set_to_none=True)
    codes, conditions, weights = batches[state.step]
    network = drawn_order(network, state.step)
    if training.coarse and state.step >= training.coarse_from:
        coarse, bits = coarse_loss(network, codes, conditions)
        (bits + training.coarse * coarse).backward()
    else:
        bits = loss(network, codes, conditions, weights)
        bits.backward()  # type: ignore[no-untyped-call]
    norm = nn.utils.clip_grad_norm_(state.module.parameters(), training.clip)
    if bool(torch.isfinite(norm)):
        for optimizer in state.optimizers:
            optimizer.step()
    state.step += 1
    # as Adam's own: the mean of few steps forgets faster
    keep = min(training.average, (1 + state.step) / (10 + state.step))
    with torch.no_grad():
        for name, tensor in state.module.state_dict().items():
            state.average[name].lerp_(tensor, 1 - keep)
    return float(bits.detach())


def drawn_order(network: Network, step: int) -> Network:
    """An ensemble under one of its orders, drawn for that step; another network as it is."""
    if not network.orders:
        return network
    names = list(network.orders)
    return network.for_order(names[int(np.random.default_rng(step).integers(len(names)))])


def validate(network: Network, state: State, validation: Split, training: Training) -> float:
    """Bits/dim of the averaged weights on the first validation items; keeps the best ones."""
    current = {name: tensor.clone() for name, tensor in state.module.state_dict().items()}
    state.module.load_state_dict(state.average)
    count = min(training.validate_items, len(validation))
    nats = dims = 0.0
    with torch.inference_mode():
        for first, size in validation.runs(count, VALIDATION_BATCH):
            codes, conditions = validation.batch(range(first, first + size), training.longest)
            nats += float(network.nats_per_item(codes, *conditions).double().sum())
            dims += codes.numel()
    bits = -nats / (dims * math.log(2))
    if bits < state.best_bits:
        state.best_bits = bits
        state.best = {name: tensor.clone() for name, tensor in state.average.items()}
    state.module.load_state_dict(current)
    return bits


def save(state: State, file: Path) -> None:
    """Write the run as safetensors, whole or not at all."""
    tensors: dict[str, Tensor] = {}
    for prefix, weights in (
        ("module", state.module.state_dict()),
        ("average", state.average),
        ("best", state.best),
    ):
        tensors.update({f"{prefix}/{name}": value.contiguous() for name, value in weights.items()})
    for number, optimizer in enumerate(state.optimizers):
        for parameter, values in optimizer.state_dict()["state"].items():
            for name, value in values.items():
                tensors[f"optimizer/{number}/{parameter}/{name}"] = torch.as_tensor(
                    value
                ).contiguous()
    notes = {"step": state.step, "best_bits": state.best_bits}
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(".partial")
    save_file(
        {name: tensor.clone() for name, tensor in tensors.items()},
        partial,
        metadata={"run": json.dumps(notes)},
    )
    partial.replace(file)


def restore(state: State, file: Path) -> None:
    """Take up the run that `save` wrote."""
    parts: dict[str, dict[str, Tensor]] = {"module": {}, "average": {}, "best": {}}
    moments: list[dict[int, dict[str, Tensor]]] = [{} for _ in state.optimizers]
    with safe_open(file, framework="pt") as stored:
        notes = json.loads(stored.metadata()["run"])
        for key in stored.keys():  # noqa: SIM118
            kind, _, name = key.partition("/")
            if kind == "optimizer":
                number, parameter, field = name.split("/")
                moments[int(number)].setdefault(int(parameter), {})[field] = stored.get_tensor(key)
            else:
                parts[kind][name] = stored.get_tensor(key)
    state.module.load_state_dict(parts["module"])
    state.average, state.best = parts["average"], parts["best"]
    state.step, state.best_bits = int(notes["step"]), float(notes["best_bits"])
    for optimizer, values in zip(state.optimizers, moments, strict=True):
        whole = optimizer.state_dict()
        whole["state"] = values
        optimizer.load_state_dict(whole)

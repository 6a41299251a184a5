"""What products of less precision cost: the change in bits per dimension on the same items."""

from __future__ import annotations

import math

import numpy as np
import torch

from ancestral.engine.model import Model
from ancestral.engine.parity import finish, first_conditions, forward_params
from ancestral.engine.probe import Check
from ancestral.engine.runtimes import RuntimeKind
from ancestral.runtimes.base import SlotRequest

ITEMS = 2


def cost(model: Model, kind: RuntimeKind, sites: int) -> Check:
    """Items that the sampler draws in this precision, its own nats beside those of float64.

    The expected difference is the relative entropy of the model from what samples, in bits: what
    somebody who encodes these samples by the model pays more than by their own distribution.
    Whoever asks for a precision is told its cost; there is no limit to it.
    """
    lost: list[float] = []
    runtime = model.new_runtime(1, kind)
    for item in range(ITEMS):
        request = SlotRequest(
            seed=1, item=item, sites=sites, conditions=first_conditions(model, sites)
        )
        drawn = finish(runtime, runtime.open(request), sites)
        exact = model.likelihood.log_prob(
            forward_params(model, drawn.values, torch.float64), torch.from_numpy(drawn.values)
        )
        difference = float(drawn.log_prob.sum() - exact.sum())
        lost.append(difference / math.log(2) / drawn.log_prob.size)
    name = f"precision, {model.place.precision}"
    detail = f"bits/dim more than in float64, on {ITEMS} items of {sites} sites drawn"
    return Check(name, bool(np.isfinite(lost).all()), float(np.mean(lost)), None, detail)

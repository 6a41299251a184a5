"""A WaveNet step as one writes it by hand in torch: one ring of past activations, one loop.

What `ancestral bench --peers` times the derived samplers against, eager and under torch.compile.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ancestral.models.wavenet import WaveNet


class RingWaveNet:
    """The step of an unconditional WaveNet of kernel 2 over codes, for a batch of sequences.

    Weights are laid out for [B, channels] products once; residual and skip are one product. Each
    layer's past lies in a ring as long as its dilation, all of them in one buffer [sum, B, R].
    """

    def __init__(self, net: WaveNet, batch: int) -> None:
        embedding: Any = net.input
        layers: list[Any] = list(net.layers)
        residual = embedding.weight.shape[1]
        # before the first value lie zeros: one more row of the table
        self.table = torch.cat([embedding.weight, torch.zeros(1, residual)]).detach()
        self.first = len(embedding.weight)
        self.gates, self.outs = [], []
        for layer in layers:
            weight = layer.dilated.weight.detach()  # [2 gate, R, 2]: the past tap comes first
            both = torch.cat([weight[..., 0], weight[..., 1]], 1)
            self.gates.append((both.contiguous(), layer.dilated.bias.detach()))
            parts = [part for part in (layer.residual, layer.skip) if part is not None]
            self.outs.append(
                (
                    torch.cat([part.weight.detach()[..., 0] for part in parts]).contiguous(),
                    torch.cat([part.bias.detach() for part in parts]),
                )
            )
        finals: list[Any] = list(net.final)
        self.final = [
            (conv.weight.detach()[..., 0].contiguous(), conv.bias.detach()) for conv in finals
        ]
        self.residual = residual
        self.dilations = torch.tensor([layer.dilated.dilation[0] for layer in layers])
        self.starts = self.dilations.cumsum(0) - self.dilations
        self.ring = torch.zeros(int(self.dilations.sum()), batch, residual)

    def at(self, t: int) -> Tensor:
        """Where the layers' rings stand at time t: int64 [layers]."""
        return self.starts + t % self.dilations

    def step(self, codes: Tensor, at: Tensor) -> Tensor:
        """The codes before [B] (`first` at the start) and the rings' places -> logits [B, L]."""
        past = self.ring.index_select(0, at)
        x = F.embedding(codes, self.table)
        inputs, skips = [], torch.zeros(())
        for layer, ((gate, gate_bias), (out, out_bias)) in enumerate(
            zip(self.gates, self.outs, strict=True)
        ):
            inputs.append(x)
            filtered, opened = F.linear(torch.cat([past[layer], x], 1), gate, gate_bias).chunk(2, 1)
            both = F.linear(torch.tanh(filtered) * torch.sigmoid(opened), out, out_bias)
            if layer < len(self.gates) - 1:
                x = x + both[:, : self.residual]
                both = both[:, self.residual :]
            skips = skips + both
        self.ring.index_copy_(0, at, torch.stack(inputs))
        for weight, bias in self.final:
            skips = F.linear(F.relu(skips), weight, bias)
        return skips

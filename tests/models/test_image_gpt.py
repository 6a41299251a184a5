"""Image GPT: both ways of attention, positions, and sight of everything before."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.models.cases import LABEL, dependencies, network

from ancestral.models import DataSpec
from ancestral.models.image_gpt import ImageGPT, sinusoids

TRITS = {"kind": "categorical", "levels": 3}
COLOUR = DataSpec(kind="image", shape=(2, 3, 4), levels=3)


@pytest.mark.parametrize("positions", ["learned", "row-column"])
def test_both_attentions_are_one(positions: str) -> None:
    shared = {"layers": 2, "width": 8, "heads": 2, "positions": positions}
    fused = network("image-gpt", COLOUR, TRITS, LABEL, attention="fused", **shared)
    explicit = network("image-gpt", COLOUR, TRITS, LABEL, attention="explicit", **shared)
    codes, labels = torch.randint(0, 3, (2, 2, 3, 4)), torch.tensor([0, 2])
    torch.testing.assert_close(
        fused(codes, labels), explicit(codes, labels), rtol=1e-12, atol=1e-12
    )


def test_every_dimension_sees_all_before_it() -> None:
    net = network("image-gpt", COLOUR, TRITS, layers=1, width=8, heads=2)
    assert (dependencies(net, 12) == np.tril(np.ones((24, 24), dtype=bool), -1)).all()


def test_a_block_against_torch_s_own_encoder_layer() -> None:
    net = network("image-gpt", COLOUR, TRITS, layers=1, width=8, heads=2)
    block = net.module.blocks[0]
    theirs = torch.nn.TransformerEncoderLayer(
        8, 2, 32, dropout=0, activation="gelu", batch_first=True, norm_first=True
    ).double()
    pairs = {
        "self_attn.in_proj_weight": block.qkv.weight,
        "self_attn.in_proj_bias": block.qkv.bias,
        "self_attn.out_proj.weight": block.project.weight,
        "self_attn.out_proj.bias": block.project.bias,
        "linear1.weight": block.mlp_in.weight,
        "linear1.bias": block.mlp_in.bias,
        "linear2.weight": block.mlp_out.weight,
        "linear2.bias": block.mlp_out.bias,
        "norm1.weight": block.norm_attention.weight,
        "norm1.bias": block.norm_attention.bias,
        "norm2.weight": block.norm_mlp.weight,
        "norm2.bias": block.norm_mlp.bias,
    }
    theirs.load_state_dict({name: value.detach() for name, value in pairs.items()})
    h = torch.randn(2, 10, 8, dtype=torch.float64)
    mask = torch.nn.Transformer.generate_square_subsequent_mask(10, dtype=torch.float64)
    expected = theirs(h, src_mask=mask, is_causal=True)
    torch.testing.assert_close(block(h), expected, rtol=1e-10, atol=1e-10)


def test_published_variants_of_a_block() -> None:
    """Root-mean-square norm, the logistic GELU and the residual of the normed input, by hand."""
    net = network(
        "image-gpt", COLOUR, TRITS, layers=1, width=8, heads=1, norm="rms",
        activation="quick-gelu", residual="normed",
    )  # fmt: skip
    block, h = net.module.blocks[0], torch.randn(1, 5, 8, dtype=torch.float64)

    def normed(x: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        return x / (x.square().mean(-1, keepdim=True) + 1e-5).sqrt() * scale

    n = normed(h, block.norm_attention.weight)
    q, k, v = (n @ block.qkv.weight.T + block.qkv.bias).chunk(3, dim=-1)
    scores = (q @ k.transpose(1, 2) / 8**0.5).masked_fill(~torch.ones(5, 5).tril().bool(), -1e9)
    a = n + scores.softmax(-1) @ v @ block.project.weight.T + block.project.bias
    inner = normed(a, block.norm_mlp.weight) @ block.mlp_in.weight.T + block.mlp_in.bias
    inner = inner / (1 + torch.exp(-1.702 * inner))
    expected = a + inner @ block.mlp_out.weight.T + block.mlp_out.bias
    torch.testing.assert_close(block(h), expected, rtol=1e-10, atol=1e-10)


def test_row_and_column_positions_start_as_sinusoids() -> None:
    gpt = ImageGPT((1, 3, 4), 2, 1, layers=1, width=8, heads=2, positions="row-column")
    assert [tuple(part.shape) for part in gpt.positions] == [(3, 1, 1, 8), (1, 4, 1, 8)]
    waves = sinusoids(5, 8) / 0.1
    torch.testing.assert_close(waves[:, 0], torch.arange(5).float().sin())
    torch.testing.assert_close(waves[:, 4], torch.arange(5).float().cos())


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"heads": 3}, "multiple of heads"),
        ({"attention": "linear"}, "unknown attention"),
        ({"positions": "rotary"}, "unknown positions"),
        ({"norm": "batch"}, "unknown norm"),
        ({"activation": "relu"}, "unknown activation"),
        ({"residual": "none"}, "unknown residual"),
    ],
)
def test_hyperparameters_that_make_no_sense(fields: dict[str, object], message: str) -> None:
    usual: dict[str, object] = {"layers": 1, "width": 8, "heads": 2}
    with pytest.raises(ValueError, match=message):
        ImageGPT((1, 2, 2), 2, 1, **(usual | fields))  # type: ignore[arg-type]

"""What `torch.export` leaves whole: cells of recurrences, other names, measures of spread.

A graph in a file holds operators that a capture in memory has taken apart already.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from tests.causal import Function
from tests.exports import BATCH, imported
from tests.store.test_graphs import agree, logits_nats
from tests.ways import Layers, Way
from torch import Tensor, nn
from torch.export import Dim, export, save

from ancestral.compile import CausalityError
from ancestral.engine.model import Model
from ancestral.store.package import load_package

H, W, N = 2, 3, 5


def cell_loop(m: Function, x: Tensor) -> Tensor:
    """A GRU cell and an LSTM cell in a Python loop; the state before a value predicts it."""
    h = c = x.new_zeros(x.shape[0], 5)
    out = []
    for i in range(N):
        out.append(m.out(h))
        h, c = m.lstm(m.gru(x[:, i : i + 1], h), (h, c))
    return torch.hstack(out)


def plain_cell_loop(m: Function, x: Tensor) -> Tensor:
    h, out = torch.zeros(x.shape[0], 5), []
    for i in range(N):
        out.append(m.out(h))
        h = m.cell(x[:, i, None], h)
    return torch.concatenate(out, 1)


def sum_loop(m: Function, x: Tensor) -> Tensor:
    """NADE's activations added up in a loop: no product that is counted."""
    a, out = m.out.bias.expand(x.shape[0], 1), []
    for i in range(N):
        out.append(torch.sigmoid(a) * m.out.weight[:, 0])
        a = torch.subtract(a, torch.multiply(x[:, i : i + 1], m.out.weight[:, 1]))
    return torch.column_stack(out)


VECTORS: dict[Way, Callable[[], Layers]] = {
    cell_loop: lambda: {
        "gru": nn.GRUCell(1, 5), "lstm": nn.LSTMCell(5, 5), "out": nn.Linear(5, 1),
    },
    plain_cell_loop: lambda: {"cell": nn.RNNCell(1, 5, nonlinearity="relu"),
                              "out": nn.Linear(5, 1)},
    sum_loop: lambda: {"out": nn.Linear(5, 1)},
}  # fmt: skip


def folder_of(tmp_path: Path, module: nn.Module, example: Tensor, dynamic: object) -> Path:
    file = tmp_path / "model.pt2"
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own, about the weights of an LSTM
        save(export(module.eval(), (example,), dynamic_shapes=((dynamic,),)), file)
    return file


@pytest.mark.parametrize("way", VECTORS)
def test_recurrences_unrolled_in_python(way: Way, tmp_path: Path) -> None:
    torch.manual_seed(2)
    module = Function(way, **VECTORS[way]())
    file = folder_of(tmp_path, module, torch.randn(3, N), BATCH)
    found = imported(
        file, data="vector", shape=str(N), levels=2, likelihood="bernoulli", encode="unit"
    )
    assert found.warning is None
    codes = torch.randint(2, (2, N))
    with torch.no_grad():
        logits = module(codes.float())
    wanted = -F.binary_cross_entropy_with_logits(logits, codes.float(), reduction="none").sum(1)
    agree(Model(load_package(found.path)), codes, wanted)


def along_rows(m: Function, x: Tensor) -> Tensor:
    """An LSTM along every row, the rows in the place of the batch."""
    left = F.pad(x, (1, 0))[..., :-1].permute(0, 2, 3, 1)
    states = m.lstm(left.reshape(-1, W, 1))[0]
    return m.out(states.reshape(-1, H, W, 4)).permute(0, 3, 1, 2)


def down_columns(m: Function, x: Tensor) -> Tensor:
    """A GRU of two layers down the columns, time first, and one both ways along the row above."""
    above = F.pad(x, (0, 0, 1, 0))[:, :, :-1]
    down = m.gru(above.permute(2, 0, 3, 1).flatten(1, 2))[0].unflatten(1, (-1, W))  # [H, B, W, 4]
    across = m.both(above.flatten(0, 2)[..., None])[0].reshape(-1, H, W, 4)
    return m.out(torch.tanh(torch.adjoint(down.movedim(0, 1).mT) + across)).moveaxis(-1, 1)


def rows_as_steps(m: Function, x: Tensor) -> Tensor:
    rows = m.rnn(F.pad(x[:, 0], (0, 0, 1, 0))[:, :-1])[0]  # [B, H, W]
    return m.out(rows[..., None]).permute(0, 3, 1, 2)


def many_ways_at_once(m: Function, x: Tensor) -> Tensor:
    """Crops, batch norm, assignment, strides, an LSTM along rows, attention under −1e9, sums."""
    rows, columns = x.shape[2:]
    left = torch.zeros_like(x)
    left[..., 1:] = x[..., :-1]
    h = m.norm(F.elu(m.above(F.pad(x, (1, 1, 2, 0))[:, :, :-1]))) + left
    low = m.down(F.pad(h, (0, 1, 2, 1))[:, :, :-2])
    h = h + m.up(F.silu(low))[:, :, :rows, :columns]
    h[:, :2] *= 0.5
    last = m.layer_norm(h.permute(0, 2, 3, 1))
    last = last + m.lstm(last.reshape(-1, columns, 4))[0].view_as(last)
    q, k, v = m.qkv(last.flatten(1, 2)).chunk(3, -1)
    past = torch.ones(rows * columns, rows * columns).tril()
    mixed = (q @ k.mT * past - 1e9 * (1 - past)).softmax(-1) @ v
    h = (last.flatten(1, 2) + mixed).mT.unflatten(2, (rows, columns))
    return m.last(h + h.cumsum(1) * 0.1)


IMAGE = {"data": "image", "shape": f"1x{H}x{W}", "levels": 3, "likelihood": "categorical"}
IMAGES: dict[Way, Callable[[], Layers]] = {
    along_rows: lambda: {"lstm": nn.LSTM(1, 4, batch_first=True), "out": nn.Linear(4, 3)},
    down_columns: lambda: {
        "gru": nn.GRU(1, 4, 2), "both": nn.GRU(1, 2, batch_first=True, bidirectional=True),
        "out": nn.Linear(4, 3),
    },
    many_ways_at_once: lambda: {
        "above": nn.Conv2d(1, 4, (2, 3)), "norm": nn.BatchNorm2d(4),
        "down": nn.Conv2d(4, 4, 2, stride=2), "up": nn.ConvTranspose2d(4, 4, 2, stride=2),
        "layer_norm": nn.LayerNorm(4), "lstm": nn.LSTM(4, 4, batch_first=True),
        "qkv": nn.Linear(4, 12), "last": nn.Conv2d(4, 3, 1),
    },
    rows_as_steps: lambda: {"rnn": nn.RNN(W, W, batch_first=True), "out": nn.Linear(1, 3)},
}  # fmt: skip


@pytest.mark.parametrize("way", IMAGES)
def test_recurrent_layers_over_images(way: Way, tmp_path: Path) -> None:
    torch.manual_seed(3)
    module = Function(way, **IMAGES[way]())
    file = folder_of(tmp_path, module, torch.randn(3, 1, H, W), BATCH)
    found = imported(file, encode="signed", **IMAGE)
    assert found.warning is None
    codes = torch.randint(3, (2, 1, H, W))
    with torch.no_grad():
        wanted = logits_nats(module(codes - 1.0), codes[:, 0])
    agree(Model(load_package(found.path)), codes, wanted)


def test_a_layer_that_also_runs_backwards_is_refused(tmp_path: Path) -> None:
    def forward(m: Function, x: Tensor) -> Tensor:
        left = F.pad(x, (1, 0))[..., :-1].reshape(-1, W, 1)
        return m.out(m.both(left)[0].reshape(-1, H, W, 4)).permute(0, 3, 1, 2)

    both = nn.GRU(1, 2, batch_first=True, bidirectional=True)
    module = Function(forward, both=both, out=nn.Linear(4, 3))
    file = folder_of(tmp_path, module, torch.randn(3, 1, H, W), BATCH)
    with pytest.raises(CausalityError, match=r"site \(0, 0\) reads the input at site \(0, \d\)"):
        imported(file, encode="signed", **IMAGE)


def spread(m: Function, h: Tensor) -> Tensor:
    """Channels normalised by hand in four ways."""
    variance, mean = torch.var_mean(h, 1, keepdim=True, unbiased=False)
    scaled = (h - mean) * (variance + 0.1).rsqrt() + h / (1 + h.std(1, keepdim=True))
    highest = h.max(1, keepdim=True).values - h.min(1, keepdim=True)[0]
    return scaled + F.normalize(h, dim=1) / (1 + h.norm(p=1, dim=1, keepdim=True)) * highest


def thin_convolution(m: Function, h: Tensor) -> Tensor:
    """Time as the columns of an image of one row."""
    return F.conv2d(F.pad(h[:, :, None], (2, 0)), m.one.weight[:, :, None])[:, :, 0]


def windows(m: Function, h: Tensor) -> Tensor:
    return torch.einsum("bctk,ock->bot", F.pad(h, (2, 0)).unfold(-1, 3, 1), m.one.weight)


def rolled(m: Function, h: Tensor) -> Tensor:
    """What comes round is masked in one and overwritten in the other."""
    inside = (torch.arange(h.shape[-1]) > 1).to(h.dtype)
    other = torch.roll(h, 2, 2)
    other[..., :2] = 0.5
    return torch.roll(h, 1, -1) * inside + other


def running_product(m: Function, h: Tensor) -> Tensor:
    """Linear attention: outer products of keys and values, summed up, times the queries."""
    q, k, v = (F.elu(part) + 1 for part in m.qkv(h.mT).chunk(3, -1))
    sums = torch.einsum("btd,bte->btde", k, v).cumsum(1)
    return (torch.einsum("btd,btde->bte", q, sums) / (q * k.cumsum(1)).sum(-1, keepdim=True)).mT


def shared_keys(m: Function, h: Tensor) -> Tensor:
    """Two queries to a key, once by broadcast and once by enable_gqa."""
    q, k, v = m.qkv(h.mT).chunk(3, -1)
    q, k, v = q.unflatten(-1, (2, 3)).transpose(1, 2), k[:, None, :, :3], v[:, None, :, :3]
    future = torch.ones(h.shape[-1], h.shape[-1]).triu(1).bool()
    scores = (q @ k.mT / math.sqrt(3)).masked_fill(future, -math.inf).softmax(-1) @ v
    fused = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
    return (scores + fused).transpose(1, 2).flatten(2).mT


TIMES = [spread, thin_convolution, windows, rolled, running_product, shared_keys]


@pytest.mark.parametrize("way", TIMES)
def test_over_time_at_any_length(way: Way, tmp_path: Path) -> None:
    def forward(m: Function, x: Tensor) -> Tensor:
        return m.out(way(m, F.pad(m.token(x).mT, (1, 0))[..., :-1]))

    torch.manual_seed(4)
    module = Function(
        forward, token=nn.Embedding(5, 6), one=nn.Conv1d(6, 6, 3), qkv=nn.Linear(6, 18),
        out=nn.Conv1d(6, 5, 1),
    )  # fmt: skip
    time = {0: Dim("batch"), 1: Dim("time", min=8, max=256)}
    file = folder_of(tmp_path, module, torch.randint(5, (3, 19)), time)
    found = imported(file, data="sequence", levels=5, likelihood="categorical")
    assert found.warning is None
    codes = torch.randint(5, (1, 20))
    with torch.no_grad():
        wanted = logits_nats(module(codes), codes)
    agree(Model(load_package(found.path)), codes, wanted)


def test_a_roll_whose_end_comes_round_is_refused(tmp_path: Path) -> None:
    module = Function(lambda m, x: m.out(m.token(x).mT.roll(1, -1)), token=nn.Embedding(5, 6),
                      out=nn.Conv1d(6, 5, 1))  # fmt: skip
    time = {0: Dim("batch"), 1: Dim("time", min=8)}
    file = folder_of(tmp_path, module, torch.randint(5, (3, 19)), time)
    with pytest.raises(CausalityError, match="params of site 0 change"):
        imported(file, data="sequence", levels=5, likelihood="categorical")


def test_gpt2_of_transformers(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.GPT2Config(
        vocab_size=5, n_positions=64, n_embd=8, n_layer=1, n_head=2, use_cache=False,
        bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    torch.manual_seed(5)
    gpt2 = transformers.GPT2LMHeadModel(config).eval()
    module = Function(lambda m, x: m.gpt2(input_ids=x, use_cache=False).logits, gpt2=gpt2)
    time = {0: Dim("batch"), 1: Dim("time", min=8, max=64)}
    file = folder_of(tmp_path, module, torch.randint(5, (3, 19)), time)
    found = imported(
        file, data="sequence", levels=5, likelihood="categorical", predicts="next",
        start="unscored",
    )  # fmt: skip
    assert found.warning is None
    codes = torch.randint(5, (1, 20))
    with torch.no_grad():
        logits = module(codes).mT
    wanted = logits_nats(logits[..., :-1], codes[:, 1:])
    first = math.log(1 / 5)  # the first value is drawn evenly
    agree(Model(load_package(found.path)), codes, wanted + first)

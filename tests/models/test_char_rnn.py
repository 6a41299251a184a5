"""char-RNN: what it is fed, and its recurrence against the equations."""

from __future__ import annotations

import pytest
import torch
from tests.models.cases import LABEL, network

from ancestral.models import DataSpec
from ancestral.models.char_rnn import CharRNN

TEXT = DataSpec(kind="sequence", levels=5)
SOFTMAX = {"kind": "categorical", "levels": 5}


def test_an_lstm_by_its_equations() -> None:
    """Graves 2013, equations 7 to 11, with torch's gates (i, f, g, o) and no peepholes."""
    net = network("char-rnn", TEXT, SOFTMAX, width=4, embedding=3)
    module = net.module
    assert isinstance(module, CharRNN)
    codes = torch.tensor([[3, 0, 4, 1]])
    weights = dict(module.layers.named_parameters())
    h, c = torch.zeros(4).double(), torch.zeros(4).double()
    for t, code in enumerate(codes[0]):
        expected = module.output(h)
        torch.testing.assert_close(net(codes)[0, t, 0], expected)
        x = module.embedding.weight[code]
        gates = weights["weight_ih_l0"] @ x + weights["weight_hh_l0"] @ h
        i, f, g, o = (gates + weights["bias_ih_l0"] + weights["bias_hh_l0"]).chunk(4)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()


@pytest.mark.parametrize(
    ("data", "conditions", "encoding", "message"),
    [
        (DataSpec(kind="image", shape=(1, 2, 2), levels=5), (), None, "models sequences of codes"),
        (TEXT, (LABEL,), None, "no conditions"),
        (TEXT, (), "unit", "the encoding is int"),
    ],
)
def test_data_that_it_does_not_model(
    data: DataSpec, conditions: tuple, encoding: str | None, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        network("char-rnn", data, SOFTMAX, *conditions, encoding=encoding, width=4)


def test_unknown_cells() -> None:
    with pytest.raises(ValueError, match="unknown cell 'mgu'; known: rnn, gru, lstm"):
        CharRNN(5, 5, cell="mgu", width=3)  # type: ignore[arg-type]

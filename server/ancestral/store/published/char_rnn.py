"""Published character-level recurrent networks."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ancestral.store.layouts import Found, Layout, LayoutError, Rule


def _gates(weights: Tensor) -> Tensor:
    """TensorFlow's gates i, j, f, o along the last axis as torch's i, f, g, o along the first."""
    i, j, f, o = weights.chunk(4, -1)
    return torch.cat([i, f, j, o], -1).movedim(-1, 0)


def _of_input(weights: Tensor) -> Tensor:
    return _gates(weights.chunk(2)[0])


def _of_state(weights: Tensor) -> Tensor:
    return _gates(weights.chunk(2)[1])


def _with_forget_bias(bias: Tensor) -> Tensor:
    """BasicLSTMCell adds 1 to the forget gate when it runs."""
    i, j, f, o = bias.chunk(4)
    return _gates(torch.cat([i, j, f + 1, o]))


def _alphabet(found: Found) -> str:
    told = found.told.alphabet
    if told is not None:
        return told
    vocabulary = found.config.get("vocabulary")
    if not isinstance(vocabulary, dict):
        raise LayoutError("the file does not hold the characters of the codes: give --alphabet")
    characters = sorted(vocabulary, key=lambda character: vocabulary[character])
    wrong = [f"{c!r} (code {vocabulary[c]})" for c in characters if len(c) != 1]
    if wrong:
        raise LayoutError(
            f"vocab.json names {', '.join(wrong)}, which is no character: give --alphabet, the "
            "characters in the order of their codes"
        )
    return "".join(characters)


def _described(found: Found) -> dict[str, Any]:
    levels, alphabet = found.sizes["V"], _alphabet(found)
    if len(alphabet) != levels:
        raise LayoutError(f"--alphabet has {len(alphabet)} characters; the network has {levels}")
    return {
        "hyperparameters": {"cell": "lstm", "width": found.sizes["D"], "layers": found.layers},
        "data": {
            "kind": "sequence",
            "levels": levels,
            "codec": {"kind": "text", "alphabet": alphabet},
            "length": {"default": 400, "maximum": 100_000},
        },
        "likelihood": {"kind": "categorical", "levels": levels},
        "order": "time",
        "input_encoding": "int",
        "params_layout": "channels-last",
    }


_CELL = r"rnnlm/multi_rnn_cell/cell_(\d+)/basic_lstm_cell"

ML5_CHAR_RNN = Layout(
    name="ml5-char-rnn",
    origin="char-RNN of ml5 (char-rnn-tensorflow): an embedding and layers of BasicLSTMCell",
    family="char-rnn",
    layer=_CELL + "/weights",
    rules=(
        Rule("embedding", ("V", "D"), "embedding.weight"),
        Rule(_CELL + "/weights", ("2D", "4D"), "layers.weight_ih_l{}", transform=_of_input),
        Rule(_CELL + "/weights", ("2D", "4D"), "layers.weight_hh_l{}", transform=_of_state),
        Rule(_CELL + "/biases", ("4D",), "layers.bias_ih_l{}", transform=_with_forget_bias),
        Rule(_CELL + "/biases", ("4D",), "layers.bias_hh_l{}", transform=torch.zeros_like),
        Rule("rnnlm/softmax_w", ("D", "V"), "output.weight", transpose=True),
        Rule("rnnlm/softmax_b", ("V",), "output.bias"),
        Rule("Variable", (), None, optional=True),  # the learning rate
    ),
    describe=_described,
)

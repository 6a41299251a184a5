"""Muon against the singular value decomposition and against torch's own."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ancestral.train.muon import Muon, orthogonal


@pytest.mark.parametrize("shape", [(8, 8), (5, 30), (30, 5)])
def test_singular_values_move_to_one_and_vectors_stay(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    matrix = torch.randn(shape)
    u, _, vt = torch.linalg.svd(matrix, full_matrices=False)
    inner = u.T @ orthogonal(matrix) @ vt.T
    values = inner.diagonal()
    assert bool(((values > 0.6) & (values < 1.3)).all())  # what the quintic's coefficients reach
    torch.testing.assert_close(inner, torch.diag(values), rtol=0, atol=1e-4)


def test_steps_are_those_of_torch() -> None:
    torch.manual_seed(0)
    ours, theirs = (nn.Parameter(torch.ones(6, 10)) for _ in range(2))
    mine = Muon([ours], lr=0.1, weight_decay=0.01)
    reference = torch.optim.Muon(
        [theirs], lr=0.1, weight_decay=0.01, adjust_lr_fn="match_rms_adamw"
    )
    for _ in range(4):
        gradient = torch.randn(6, 10)
        ours.grad, theirs.grad = gradient, gradient.clone()
        mine.step()
        reference.step()
    # torch iterates in bfloat16
    torch.testing.assert_close(ours, theirs, rtol=0.05, atol=0.01)


def test_a_kernel_is_a_matrix_of_its_outputs() -> None:
    torch.manual_seed(0)
    kernel = nn.Parameter(torch.zeros(4, 3, 2, 2))
    matrix = nn.Parameter(torch.zeros(4, 12))
    gradient = torch.randn(4, 3, 2, 2)
    kernel.grad, matrix.grad = gradient, gradient.flatten(1)
    for parameter in (kernel, matrix):
        Muon([parameter], lr=1.0).step()
    torch.testing.assert_close(kernel.flatten(1), matrix)

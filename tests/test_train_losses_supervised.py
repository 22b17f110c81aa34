"""L_S of S19 eq. 7 and 8: by hand, by finite differences, and silent where nobody annotated."""

from __future__ import annotations

import math

import pytest
import torch

from train.losses import attention_cross_entropy, attention_squared_error, attention_target

TARGET = torch.tensor([[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
ATTENTION = torch.tensor([[0.5, 0.25, 0.125, 0.125], [0.7, 0.1, 0.1, 0.1]])
LOSSES = [attention_cross_entropy, attention_squared_error]


def test_cross_entropy_is_equation_8_written_out() -> None:
    found = attention_cross_entropy(ATTENTION.log(), TARGET)
    assert found.item() == pytest.approx((math.log(2) + math.log(4)) / 2)


def test_squared_error_is_the_mean_over_cells_and_batch() -> None:
    found = attention_squared_error(ATTENTION.log(), TARGET)
    assert found.item() == pytest.approx((0.25 + 0.5625 + 2 * 0.015625) / 4 / 2)


@pytest.mark.parametrize("loss", LOSSES)
def test_rows_without_annotation_have_no_gradient_at_all(loss) -> None:
    logits = torch.randn(2, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
    loss(torch.log_softmax(logits, dim=1), TARGET).backward()
    assert logits.grad is not None
    assert torch.equal(logits.grad[1], torch.zeros(4))
    assert logits.grad[0].abs().sum() > 0


@pytest.mark.parametrize("loss", LOSSES)
def test_gradients_agree_with_finite_differences(loss) -> None:
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(3, 6, generator=generator, dtype=torch.float64).requires_grad_()
    target = (torch.rand(3, 6, generator=generator) < 0.5).double()
    target[2] = 0
    assert torch.autograd.gradcheck(lambda x: loss(torch.log_softmax(x, dim=1), target), logits)


def test_a_target_covers_the_cells_that_are_half_covered() -> None:
    agreement = torch.zeros(1, 1, 4, 4)
    agreement[0, 0, :2, :3] = 1  # all of the first cell, half of the second
    assert attention_target(agreement, (2, 2), normalised=False).tolist() == [[1, 1, 0, 0]]
    assert attention_target(agreement, (2, 2), normalised=True).tolist() == [[0.5, 0.5, 0, 0]]


def test_a_source_smaller_than_half_a_cell_keeps_its_best_cell() -> None:
    agreement = torch.zeros(2, 1, 4, 4)
    agreement[0, 0, 3, 3] = 1
    found = attention_target(agreement, (2, 2), normalised=False)
    assert found.tolist() == [[0, 0, 0, 1], [0, 0, 0, 0]]

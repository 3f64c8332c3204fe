"""The batch-weighted loss: by hand, against torch's own, and twice differentiable."""

from __future__ import annotations

from math import exp, log

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from sldd.training.weighted_bce import entry_weights, weighted_bce

NAN = float("nan")


def _batch(seed: int, rows: int = 6, classes: int = 4, unknown: float = 0.2) -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(rows, classes, generator=random, dtype=torch.float64)
    labels = (torch.rand(rows, classes, generator=random) < 0.3).double()
    labels[torch.rand(rows, classes, generator=random) < unknown] = NAN
    return logits, labels


def test_by_hand() -> None:
    """One positive and three negative entries: weights 4 and 4/3, averaged over the four."""
    logits, labels = torch.tensor([[0.0, 2.0], [-1.0, 1.0]]), torch.tensor([[1.0, 0.0], [0.0, 0.0]])
    terms = [log(2), log(1 + exp(2)), log(1 + exp(-1)), log(1 + exp(1))]
    expected = (4 * terms[0] + 4 / 3 * sum(terms[1:])) / 4
    assert weighted_bce(logits, labels).item() == pytest.approx(expected)


@given(seed=st.integers(0, 999))
def test_torchs_own_loss_with_these_weights(seed: int) -> None:
    logits, labels = _batch(seed)
    known = ~labels.isnan()
    z, y = logits[known], labels[known]
    positive, negative = y.sum(), (1 - y).sum()
    weight = torch.where(y == 1, len(y) / positive, len(y) / negative)
    torch.testing.assert_close(weighted_bce(logits, labels), F.binary_cross_entropy_with_logits(z, y, weight=weight))


def test_as_many_positive_as_negative_entries_weigh_the_same() -> None:
    logits = torch.randn(4, 2, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([[1.0, 0.0]] * 4)
    torch.testing.assert_close(weighted_bce(logits, labels), 2 * F.binary_cross_entropy_with_logits(logits, labels))


@pytest.mark.parametrize("label", [0.0, 1.0])
def test_a_batch_of_one_kind(label: float) -> None:
    """The other kind's weight is 0, and this one's (P + N) / P = 1."""
    logits, labels = torch.tensor([[0.5, -2.0]], requires_grad=True), torch.full((1, 2), label)
    assert entry_weights(labels).tolist() == [0.5 * (1 - label), 0.5 * label]
    loss = weighted_bce(logits, labels)
    torch.testing.assert_close(loss, F.binary_cross_entropy_with_logits(logits, labels))
    (gradient,) = torch.autograd.grad(loss, logits)
    assert gradient.isfinite().all()


def test_nothing_known_is_no_loss_and_no_gradient() -> None:
    logits = torch.tensor([[float("inf"), 1.0]], requires_grad=True)
    loss = weighted_bce(logits, torch.full((1, 2), NAN))
    assert loss.item() == 0
    assert torch.autograd.grad(loss, logits)[0].tolist() == [[0, 0]]


@given(seed=st.integers(0, 999), junk=st.floats(-1e30, 1e30))
def test_what_is_not_known_does_not_matter(seed: int, junk: float) -> None:
    logits, labels = _batch(seed)
    other = torch.where(labels.isnan(), junk, logits)
    assert weighted_bce(other, labels) == weighted_bce(logits, labels)


@given(seed=st.integers(0, 999))
def test_laws(seed: int) -> None:
    """Twice the batch is the same loss; with findings and absences exchanged it is too; parts add up."""
    logits, labels = _batch(seed)
    whole = weighted_bce(logits, labels)
    torch.testing.assert_close(weighted_bce(logits.repeat(2, 1), labels.repeat(2, 1)), whole)
    torch.testing.assert_close(weighted_bce(-logits, 1 - labels), whole)
    weights = entry_weights(labels)
    parts = [weighted_bce(z, y, weights) for z, y in zip(logits.split(2), labels.split(2), strict=True)]
    torch.testing.assert_close(torch.stack(parts).sum(), whole)


def test_soft_labels_count_in_part() -> None:
    """A label of 0.25 is a quarter of a positive entry and three quarters of a negative one."""
    logits = torch.tensor([[1.5], [-0.5]], dtype=torch.float64)
    soft = torch.tensor([[0.25], [1.0]], dtype=torch.float64)
    hard = weighted_bce(logits[[0, 0, 0, 0, 1, 1, 1, 1]], torch.tensor([[1.0], [0], [0], [0], [1], [1], [1], [1]]))
    torch.testing.assert_close(weighted_bce(logits, soft), hard)


def test_large_logits_stay_finite() -> None:
    logits = torch.tensor([[1e4, -1e4]], requires_grad=True)
    loss = weighted_bce(logits, torch.tensor([[0.0, 1.0]]))
    assert loss.item() == pytest.approx(2e4)
    assert torch.autograd.grad(loss, logits)[0].tolist() == [[1, -1]]


def test_derivatives_of_both_orders() -> None:
    """In logits and labels: distillation differentiates the inner loss twice, and learns the labels."""
    logits, _ = _batch(3, rows=3, classes=2)
    labels = torch.rand(3, 2, generator=torch.Generator().manual_seed(4), dtype=torch.float64) * 0.8 + 0.1
    inputs = (logits.requires_grad_(), labels.requires_grad_())
    assert torch.autograd.gradcheck(weighted_bce, inputs)
    assert torch.autograd.gradgradcheck(weighted_bce, inputs)
    hidden = torch.tensor([[True, False], [False, False], [False, True]])
    masked = lambda z, y: weighted_bce(z, torch.where(hidden, NAN, y))  # noqa: E731
    assert torch.autograd.gradcheck(masked, inputs)
    assert torch.autograd.gradgradcheck(masked, inputs)

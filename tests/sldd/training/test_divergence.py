"""Whether tensors are finite: asked by their sums, and answered for every value."""

from __future__ import annotations

import pytest
import torch

from sldd.training.outer_loop import _all_finite

LARGE = torch.finfo(torch.float32).max


@pytest.mark.parametrize("others", [[], [1.0], [LARGE, LARGE], [-LARGE, -LARGE]])
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_one_value_is_found_among_many(bad: float, others: list[float]) -> None:
    whole = [torch.arange(5), torch.tensor([*others, 0.5]), torch.zeros(0)]
    assert _all_finite(whole)
    assert not _all_finite([*whole, torch.tensor([bad])])
    assert not _all_finite([torch.tensor([*others, bad, 0.5]), *whole])


def test_infinities_of_both_signs_do_not_cancel() -> None:
    assert not _all_finite([torch.tensor([float("inf"), -float("inf")])])
    assert not _all_finite([torch.tensor([float("inf")]), torch.tensor([-float("inf")])])


def test_double_precision_is_not_taken_for_single() -> None:
    assert _all_finite([torch.tensor([1e300, -1e300], dtype=torch.float64)])
    assert _all_finite([])

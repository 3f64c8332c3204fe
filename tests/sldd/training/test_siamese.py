"""Siamese augmentation: the same change for all images, differentiable, and different from step to step."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sldd.rng import stream
from sldd.training import siamese as kinds
from sldd.training.siamese import identity, siamese


def test_one_change_for_real_and_distilled_images() -> None:
    one, other = (torch.from_numpy(stream(0, name).standard_normal((2, 3, 8, 8), "float32")) for name in ("a", "b"))
    seen = set()
    for number in range(40):
        change = siamese(stream(0, "change", number))
        assert torch.allclose(change(torch.cat([one, other])), torch.cat([change(one), change(other)]))
        assert change(one).shape == one.shape
        seen.add(float((change(one) * other).sum()))  # more contrast leaves the sum alone
    assert len(seen) == 40
    assert identity(one) is one


@pytest.mark.parametrize("kind", ["_shift", "_turn", "_zoom", "_brightness", "_contrast", "_cut"])
def test_each_kind_changes_images_and_lets_the_gradient_through(kind: str) -> None:
    change = getattr(kinds, kind)(stream(0, kind))
    images = torch.from_numpy(stream(0, "x").standard_normal((2, 1, 8, 8), "float32")).requires_grad_()
    changed = change(images)
    assert not torch.allclose(changed, images)
    (gradient,) = torch.autograd.grad(changed.square().sum(), images)
    assert gradient.isfinite().all()
    assert gradient.any()


def test_a_cut_out_square_is_the_mean() -> None:
    change = kinds._cut(np.random.default_rng(3))
    lost = (change(torch.ones(1, 1, 8, 8)) == 0).sum()
    assert 4 <= lost <= 16  # a square of half a side, of which some may lie outside


class _Most(np.random.Generator):
    """Draws the most of every amount."""

    def uniform(self, low, high, size=None):  # type: ignore[no-untyped-def]
        return high if size is None else np.full(size, high)


def test_changes_at_their_most_are_what_the_settings_say() -> None:
    most = _Most(np.random.PCG64(0))
    images = torch.from_numpy(stream(0, "x").standard_normal((2, 1, 8, 8), "float32"))
    shifted = kinds._shift(most)(images)  # by an eighth of the side
    assert torch.allclose(shifted[..., :-1, :-1], images[..., 1:, 1:], atol=1e-5)
    assert not shifted[..., -1, :].any()
    assert torch.allclose(kinds._brightness(most)(images), images + 0.5)
    stronger = kinds._contrast(most)(images)
    assert torch.allclose(stronger.std((1, 2, 3)), 1.5 * images.std((1, 2, 3)))
    assert torch.allclose(stronger.mean((1, 2, 3)), images.mean((1, 2, 3)), atol=1e-6)

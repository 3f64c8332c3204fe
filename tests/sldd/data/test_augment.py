"""Augmentation of whole films."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from sldd.data.augment import Augmented, AugmentSettings, augment
from sldd.rng import stream

OFF = AugmentSettings(rotate=0, shift=0, shear=0, zoom=0, flip_horizontal=0, flip_vertical=0, noise=0)


def _films() -> torch.Tensor:
    return torch.from_numpy(stream(0, "films").standard_normal((6, 1, 24, 24), dtype="float32"))


def test_nothing_is_changed_where_nothing_may_be() -> None:
    assert torch.allclose(augment(_films(), OFF, stream(0, "batch", 0)), _films(), atol=1e-5)


def test_flips_are_the_mirrored_films() -> None:
    flipped = augment(_films(), replace(OFF, flip_horizontal=1, flip_vertical=1), stream(0, "batch", 0))
    assert torch.allclose(flipped, _films().flip(-1).flip(-2), atol=1e-5)


@pytest.mark.parametrize(
    "more", [{"rotate": 20}, {"shift": 0.2}, {"shear": 15}, {"zoom": 0.3}, {"noise": 0.5}], ids=lambda more: str(more)
)
def test_each_kind_changes_films_by_itself_and_repeatably(more: dict[str, float]) -> None:
    settings = replace(OFF, **more)
    one, again, other = (augment(_films(), settings, stream(0, "batch", number)) for number in (1, 1, 2))
    assert torch.equal(one, again)
    assert not torch.allclose(one, other, atol=1e-3)
    assert not torch.allclose(one, _films(), atol=1e-3)
    assert bool(one.isfinite().all())


def test_a_batch_keeps_its_findings() -> None:
    class Drawn:
        def draw(self, random: object, count: int) -> tuple[torch.Tensor, torch.Tensor]:
            return _films()[:count], torch.arange(count)

    images, truth = Augmented(Drawn(), AugmentSettings()).draw(stream(0, "batch", 0), 4)
    assert images.shape == (4, 1, 24, 24)
    assert truth.tolist() == [0, 1, 2, 3]

"""Augmentation of whole films."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
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


def test_the_fingerprint_follows_the_films_and_what_is_done_to_them() -> None:
    class Drawn:
        def __init__(self, fingerprint: str | None) -> None:
            self.fingerprint = fingerprint

        def draw(self, random: object, count: int) -> tuple[torch.Tensor, torch.Tensor]:
            raise AssertionError

    how = [("a", OFF), ("b", OFF), ("a", replace(OFF, noise=0.1))]
    found = [Augmented(Drawn(films), settings).fingerprint for films, settings in how]
    assert len({*found, "a", "b"}) == 5
    assert Augmented(Drawn(None), OFF).fingerprint is None


def _points(row: int, column: int, films: int = 80) -> torch.Tensor:
    images = torch.zeros(films, 1, 25, 25)
    images[:, 0, row, column] = 1.0
    return images


def _moved(settings: AugmentSettings, row: int = 12, column: int = 12) -> np.ndarray:
    """(films, 2) rows and columns by which a point has moved in each film of a batch."""
    images = augment(_points(row, column), settings, stream(0, "batch", 0))
    places = np.array([np.unravel_index(int(image.argmax()), (25, 25)) for image in images])
    return np.abs(places - (row, column))


def test_amounts_are_what_the_settings_say_and_each_film_has_its_own() -> None:
    shifted = _moved(replace(OFF, shift=0.2))
    assert shifted.max(0).tolist() == [5, 5], "a fifth of the side, either way"
    assert len(np.unique(shifted, axis=0)) > 10
    turned = _moved(replace(OFF, rotate=30), column=22)
    assert turned[:, 0].max() == 5, "ten pixels out, by thirty degrees"
    assert len(np.unique(turned, axis=0)) > 3


def test_films_are_scaled_up_and_down() -> None:
    images = torch.zeros(80, 1, 25, 25)
    images[:, :, 8:17, 8:17] = 1.0
    sizes = augment(images, replace(OFF, zoom=0.4), stream(0, "batch", 0)).sum((1, 2, 3)) / 81
    assert 0.6**2 * 0.9 < sizes.min() < 0.75**2
    assert 1.25**2 < sizes.max() < 1.4**2 * 1.1


def test_noise_has_its_deviation_and_flips_their_share() -> None:
    noise = augment(_films(), replace(OFF, noise=0.5), stream(0, "batch", 0)) - _films()
    assert float(noise.std()) == pytest.approx(0.5, rel=0.05)
    images = augment(_points(3, 5, films=300), replace(OFF, flip_horizontal=0.3), stream(0, "batch", 0))
    assert float(images[:, 0, 3, 19].round().mean()) == pytest.approx(0.3, abs=0.08)
    assert bool((images[:, 0, 3, 5].round() + images[:, 0, 3, 19].round() == 1).all())

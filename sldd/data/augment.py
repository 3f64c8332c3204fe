"""Random affine, flip and noise augmentation of whole films."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Annotated

import numpy as np
import torch
from annotated_types import Ge, Le, Lt
from torchvision.transforms.v2 import InterpolationMode, functional

from sldd.data.prefetch import BatchSource
from sldd.ops.digest import digest


@dataclass(frozen=True)
class AugmentSettings:
    """How far films are changed, each by chance within these bounds. The kinds are published, the amounts ours."""

    train: bool = True
    """For ordinary training."""
    distill: bool = False
    """For the real films of a distillation."""
    rotate: Annotated[float, Ge(0), Le(180)] = 7.0
    """Degrees to either side."""
    shift: Annotated[float, Ge(0), Lt(1)] = 0.05
    """Share of the side, in each direction."""
    shear: Annotated[float, Ge(0), Lt(90)] = 3.0
    """Degrees to either side."""
    zoom: Annotated[float, Ge(0), Lt(1)] = 0.1
    """Share by which a film is scaled up or down."""
    flip_horizontal: Annotated[float, Ge(0), Le(1)] = 0.5
    """Share of films that are mirrored left to right."""
    flip_vertical: Annotated[float, Ge(0), Le(1)] = 0.0
    """Share of films that are turned upside down."""
    noise: Annotated[float, Ge(0)] = 0.05
    """Deviation of Gaussian noise, in deviations of the films' gray values."""


class Augmented:
    """Augmented batches of films; the batch's own random stream draws the changes, after the films.

    Args:
        films: what is changed; standardised, so that 0, their mean, is what comes in from outside the film.
    """

    def __init__(self, films: BatchSource, settings: AugmentSettings) -> None:
        self._films, self._settings = films, settings

    @property
    def fingerprint(self) -> str | None:
        """Digest of the films and of what is done to them; None where they have none."""
        content = getattr(self._films, "fingerprint", None)
        return content and digest("augmented", content, asdict(self._settings))

    def draw(self, random: np.random.Generator, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        """As of the source, with its images augmented."""
        images, truth = self._films.draw(random, count)
        return augment(images, self._settings, random), truth


def augment(images: torch.Tensor, settings: AugmentSettings, random: np.random.Generator) -> torch.Tensor:
    """Augment each film of (films, channels, side, side), standardised, by random amounts of its own."""
    side = images.shape[-1]
    changed = []
    for image in images:
        angle, shear = (float(random.uniform(-most, most)) for most in (settings.rotate, settings.shear))
        shift = [float(random.uniform(-1, 1)) * settings.shift * side for _ in range(2)]
        scale = float(random.uniform(1 - settings.zoom, 1 + settings.zoom))
        image = functional.affine(
            image, angle, shift, scale, [shear, 0.0], interpolation=InterpolationMode.BILINEAR, fill=[0.0]
        )
        horizontal, vertical = random.random(2) < (settings.flip_horizontal, settings.flip_vertical)
        image = functional.horizontal_flip(image) if horizontal else image
        changed.append(functional.vertical_flip(image) if vertical else image)
    noise = torch.from_numpy(random.standard_normal(images.shape, dtype="float32"))
    return torch.stack(changed) + settings.noise * noise

"""Settings of the methods that learn beside other networks than the receiver's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Lt


@dataclass(frozen=True)
class ExpertSettings:
    """Experts of ``mtt``, whose trajectories all trials of a machine share, and the student that follows them."""

    count: Annotated[int, Ge(1)] = 20
    """How many there are."""
    snapshots: Annotated[int, Ge(1)] = 20
    """Times that the weights of each are kept, after its start."""
    every: Annotated[int, Ge(1)] = 20
    """Steps from one to the next."""
    batch_size: Annotated[int, Ge(1)] = 96
    """Real images a step."""
    rate: Annotated[float, Gt(0)] = 0.01
    """Of gradient descent; the student's learned rate starts there too."""
    momentum: Annotated[float, Ge(0), Lt(1)] = 0.0
    """Of the experts; students have none."""
    latest: Annotated[int, Ge(1)] = 10
    """Snapshots, from the first, at which a student may begin."""
    span: Annotated[int, Ge(1)] = 2
    """Snapshots after which it is to be where the expert was."""
    student_epochs: Annotated[int, Ge(1)] = 10
    """Passes over the distilled images that it takes to get there."""


@dataclass(frozen=True)
class MatchSettings:
    """How other methods than ``sldd`` and ``dd`` learn, beside what ``distill`` and ``outer`` say of all methods."""

    networks: Literal["fresh", "start"] = "fresh"
    """Networks on which images are matched: drawn anew, as published, or the receiver's own start (ours). Experts of
    ``mtt`` are drawn anew."""
    augment: bool = True
    """Siamese augmentation of ``dm`` and ``dc``: real and distilled images of a step are shifted, turned, scaled, cut
    or lit alike. Experts and students of ``mtt`` each see their own images changed so, at every step another way."""
    redraw: Annotated[int, Ge(1)] = 1
    """Outer steps after which the network of ``dc`` is drawn anew; in between it learns from the distilled images."""
    network_steps: Annotated[int, Ge(1)] = 10
    """Steps that it learns between two outer ones."""
    network_lr: Annotated[float, Gt(0)] = 0.01
    """Its rate."""
    pool: Annotated[int, Ge(1)] = 10
    """Networks of ``frepo``'s pool."""
    pool_updates: Annotated[int, Ge(1)] = 100
    """Steps that each learns from the distilled images before it is drawn anew; the first ones fewer."""
    pool_lr: Annotated[float, Gt(0)] = 0.0003
    """Adam's rate of these."""
    experts: ExpertSettings = ExpertSettings()

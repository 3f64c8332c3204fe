"""One package of several: their images in sequence, interleaved, or side by side, from the start that they share.

    sequence      all steps of the first, then all of the second ...
    interleaved   the first step of each, then the second of each ...; the same where each has one
    beside        the first steps of all as one step of more images, and so on, at the mean of their rates

Each hospital's inner rates were learned from the start alone, so that one after another their steps may go too far:
``shrink`` divides them by the number of packages. Batch-norm statistics are those of all hospitals' values, by what
each package has: measured on the distilled images instead, networks are at chance (docs/receiving.md). Standardisation
is by the mean and variance of all hospitals' values, each of the same weight; images stay as they are, in the units of
their own.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from sldd.errors import InputError
from sldd.ops.types import PerChannel
from sldd.package.combine.alike import check_alike
from sldd.package.format.header import Stored, versions
from sldd.package.format.package import Package, too_many
from sldd.package.rebuild.self_test import with_self_test

Order = Literal["sequence", "interleaved", "beside"]


def combine(
    packages: Sequence[Package],
    names: Sequence[str],
    order: Order,
    *,
    shrink: bool = False,
    start: Path | str | None = None,
) -> Package:
    """The combined package, unsigned and without claims, with a self-test of its own.

    Args:
        names: of the packages, for messages.
        start: as of ``rebuild``.

    Raises:
        InputError: they are not of one network, start and kind of films, or not of as many images and steps.
    """
    check_alike(packages, names)
    _check_shapes(packages, names, order)
    images, labels = _joined([p.images for p in packages], order), _joined([p.labels for p in packages], order)
    rates = _rates([p.rates for p in packages], order) / (len(packages) if shrink else 1)
    first, same = packages[0], {package.stored.images for package in packages}
    mean, deviation = pooled(packages)
    joined = replace(
        first,
        images=images,
        labels=labels,
        rates=rates,
        theta_bn=mean_statistics(packages),
        mean=mean,
        deviation=deviation,
        delta=delta_of(packages),
        sides=(),  # of the first hospital's films
        claims=None,
        stored=Stored(same.pop() if len(same) == 1 else "float32"),
        self_test=None,
        expected=None,
        versions=versions(),
    )
    return with_self_test(joined, start)


def pooled(packages: Sequence[Package]) -> tuple[PerChannel, PerChannel]:
    """Mean and deviation of all hospitals' values, channel by channel, each hospital of the same weight.

    The variance is that within hospitals and that between them: ``E[deviation**2] + E[(mean - E[mean])**2]``.
    """
    means = np.array([package.mean for package in packages], np.float64)
    deviations = np.array([package.deviation for package in packages], np.float64)
    mean = means.mean(0)
    deviation = np.sqrt((deviations**2 + (means - mean) ** 2).mean(0))
    if mean.ndim == 0:
        return float(mean), float(deviation)
    (r, g, b), (dr, dg, db) = mean.tolist(), deviation.tolist()
    return (r, g, b), (dr, dg, db)


def delta_of(packages: Sequence[Package]) -> float | None:
    """The mean of their thresholds, rounded once, so that of equal ones it is theirs and has no order; None where whole
    films are told."""
    known = [package.delta for package in packages if package.delta is not None]
    return float(statistics.mean(known)) if known else None


def mean_statistics(packages: Sequence[Package]) -> dict[str, torch.Tensor]:
    """Batch-norm statistics, by buffer name, of all hospitals' values together; variances as in ``pooled``."""
    found = {}
    for name in packages[0].theta_bn:
        if name.endswith("running_mean"):
            variance = name.removesuffix("running_mean") + "running_var"
            means = torch.stack([package.theta_bn[name] for package in packages]).double()
            variances = torch.stack([package.theta_bn[variance] for package in packages]).double()
            found[name] = means.mean(0).float()
            found[variance] = (variances + means**2).mean(0).sub(means.mean(0) ** 2).clamp(min=0).float()
    return found


def _check_shapes(packages: Sequence[Package], names: Sequence[str], order: Order) -> None:
    """Raise an InputError where the packages' steps do not go together in this order, or are too many for one."""
    first_steps, first_each = packages[0].images.shape[:2]
    first_rates = packages[0].rates
    for package, name in zip(packages, names, strict=True):
        steps, each = package.images.shape[:2]
        epochs = len(package.rates)
        if order == "beside" and steps != first_steps:
            raise InputError(f"{name} has {steps} steps, and {names[0]} {first_steps}: they do not lie side by side")
        if order != "beside" and each != first_each:
            raise InputError(f"{name} has {each} images a step, and {names[0]} {first_each}: combine them with beside")
        if epochs != len(first_rates) or package.rates.shape[2:] != first_rates.shape[2:]:
            raise InputError(f"{name} has rates of {epochs} epochs or of another kind than {names[0]}")
    if order == "beside":
        steps, each = first_steps, sum(package.images.shape[1] for package in packages)
    else:
        steps, each = sum(package.images.shape[0] for package in packages), first_each
    if (asked := too_many(len(first_rates), steps, each)) is not None:
        raise InputError(f"one package of all would ask for {asked}; combine fewer, or add votes (apply --with)")


def _joined(parts: Sequence[torch.Tensor], order: Order) -> torch.Tensor:
    """(S, M, ...) images or labels of one package from those of several."""
    return torch.cat(list(parts), 1) if order == "beside" else _all_steps(parts, order, axis=0)


def _rates(parts: Sequence[torch.Tensor], order: Order) -> torch.Tensor:
    """(E, S) or (E, S, T) rates of one package from those of several."""
    return torch.stack(list(parts)).mean(0) if order == "beside" else _all_steps(parts, order, axis=1)


def _all_steps(parts: Sequence[torch.Tensor], order: Order, *, axis: int) -> torch.Tensor:
    """The steps of all parts, which are counted along ``axis``, in sequence or interleaved.

    Interleaved, packages take turns; one whose steps are all taken is passed over.
    """
    if order == "sequence":
        return torch.cat(list(parts), axis)
    longest = max(part.shape[axis] for part in parts)
    turns = [part.narrow(axis, step, 1) for step in range(longest) for part in parts if step < part.shape[axis]]
    return torch.cat(turns, axis)

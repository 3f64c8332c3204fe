"""Sensitivity of a package to changes of its recipe (order, rates, start, precision), on a labelled cohort.

A row of the table is a variant; its columns are

    variant             what was done, see below
    level               how much, or which: a seed, a backbone, a noise level, a number of decimals
    status              done, or ``cannot run`` with the reason in ``note``
    patients            labelled patients that were scored
    hm, auc             of them, HM at the package's delta; empty where a label is absent
    sensitivity, specificity
    undecided           patients without an N or P vote, counted as negative
    changed_decisions   patients called other than by the package as it was made
    score_change        largest change of a patient's score; an undecided patient's counts as 0
    output_change       largest change of a class probability in the self-test's synthetic inputs
    note

and its variants

    as made
    order: labels       every step's labels moved one image on (cannot run for one image)
    order: steps        the steps' images and labels in the reverse order (cannot run for one step)
    rate: mean          one mean rate in place of the learned ones (cannot run for a single rate)
    rate: halved, rate: doubled
    start: seed         other weights of its kind; theta_bn as in the package
    backbone            another network of the same input from its own start; its theta_bn is measured on the distilled
                        images, since a receiver has no others
    noise               on the distilled images, in shares of their standard deviation
    labels: rounded     to 1 decimal, and to whole numbers
    images: stored      as float16 and as 8 bit
    theta_bn: dropped   a mean of 0 and a variance of 1 in every layer
    theta_bn: receiver  measured anew on patches of the receiver's cohort (precise statistics)
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from sldd.backbones.init import layer_fingerprints
from sldd.backbones.norms import batch_norms, keep_no_statistics, load_statistics, measure_statistics, statistics
from sldd.backbones.registry import build
from sldd.backbones.start import SEEDED, XAVIER, set_start
from sldd.errors import InputError
from sldd.metrics.patient_votes import UNDECIDED, Votes
from sldd.ops.windows import Window
from sldd.package.apply.films import Patient
from sldd.package.apply.scoring import film_patches, labelled, measured, score
from sldd.package.format.image_encoding import stored
from sldd.package.format.package import Package
from sldd.package.rebuild.rebuild import rebuild, started, take_steps
from sldd.package.rebuild.self_test import inputs, outputs
from sldd.rng import stream

BACKBONES = ("convnet_w32", "test_resnet", "test_efficientnet")
"""Small ones, so that the table takes minutes; name those that your receivers would try."""
NOISE = (0.01, 0.1, 0.5)
_STATISTICS_PATCHES = 512


@dataclass(frozen=True)
class Row:
    """A row of the table; see above."""

    variant: str
    level: str
    status: str
    patients: int
    hm: float | None = None
    auc: float | None = None
    sensitivity: float | None = None
    specificity: float | None = None
    undecided: int | None = None
    changed_decisions: int | None = None
    score_change: float | None = None
    output_change: float | None = None
    note: str = ""


COLUMNS = tuple(field.name for field in fields(Row))
Network = Callable[[], nn.Module]


def fragility(
    package: Package,
    patients: Sequence[Patient],
    *,
    start: Path | str | None = None,
    seeds: int = 3,
    backbones: Sequence[str] = BACKBONES,
    batch: int,
    device: torch.device,
    done: Callable[[], object] = lambda: None,
) -> Iterator[Row]:
    """Measure the table, row by row.

    Args:
        start: as of ``rebuild``.
        seeds: other starts to try.
        backbones: other networks to try.
        batch, device: as of ``score``.
        done: called after every radiograph of every variant.

    Raises:
        InputError: no patient has a label, or a radiograph cannot be used.
    """
    patients = [patient for patient in patients if patient.label is not None]
    if not patients:
        raise InputError("fragility needs labels: a manifest with a column label, 0 or 1")
    delta = package.threshold()
    seen = inputs(package.seed, package.images)
    made: tuple[Votes, torch.Tensor] | None = None
    for variant, level, network, note in _variants(package, patients, start, seeds, backbones):
        try:
            rebuilt = network()
            probabilities = outputs(rebuilt.cpu(), seen)
            if not bool(torch.isfinite(probabilities).all()):
                raise InputError("its outputs are not finite")
        except (ValueError, RuntimeError) as error:  # batch norm of a single value, say
            yield Row(variant, level, "cannot run", len(patients), note=str(error).partition("\n")[0])
            continue
        scored = score(rebuilt, package, patients, batch=batch, device=device, done=done)
        votes = labelled(scored, patients)
        assert votes is not None
        made = made or (votes, probabilities)
        yield Row(
            variant,
            level,
            "done",
            len(patients),
            **measured(votes, delta),
            undecided=votes.undecided,
            changed_decisions=int((_called(votes, delta) != _called(made[0], delta)).sum()),
            score_change=float(np.abs(_scores(votes) - _scores(made[0])).max()),
            output_change=float((probabilities - made[1]).abs().max()),
            note=note,
        )


def as_csv(rows: Sequence[Row]) -> bytes:
    """The table as CSV; cells without a value are empty."""
    text = io.StringIO()
    table = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    table.writeheader()
    for row in rows:
        table.writerow({name: "" if value is None else value for name, value in asdict(row).items()})
    return text.getvalue().encode()


def as_json(rows: Sequence[Row]) -> bytes:
    """The table as a JSON list of objects."""
    return json.dumps([asdict(row) for row in rows], indent=1).encode()


def _variants(
    package: Package, patients: Sequence[Patient], start: Path | str | None, seeds: int, backbones: Sequence[str]
) -> Iterator[tuple[str, str, Network, str]]:
    def of(**changed: object) -> Network:
        return lambda: rebuild(replace(package, **changed), start)  # type: ignore[arg-type]

    labels, rates, images = package.labels, package.rates, package.images
    single = "there is one image in a step" if images.shape[1] == 1 else ""
    yield "as made", "", of(), ""
    yield "order: labels", "", of(labels=labels.roll(1, 1)) if not single else _cannot(single), ""
    reverse = of(images=images.flip(0), labels=labels.flip(0))
    yield "order: steps", "", reverse if len(images) > 1 else _cannot("there is one step"), ""
    mean = of(rates=torch.full_like(rates, float(rates.mean())))
    one = mean if rates.numel() > 1 else _cannot("there is a single rate")
    yield "rate: mean", f"{float(rates.mean()):.4g}", one, ""
    yield "rate: halved", "", of(rates=rates / 2), ""
    yield "rate: doubled", "", of(rates=rates * 2), ""
    for seed in range(seeds):
        yield "start: seed", str(seed), _other_seed(package, seed), ""
    for name in backbones:
        if name != package.backbone:
            yield "backbone", name, _other_backbone(package, name), "theta_bn measured on the distilled images"
    for level in NOISE:
        noise = stream(package.seed, "fragility", "noise").standard_normal(tuple(images.shape), np.float32)
        yield "noise", f"{level:g}", of(images=images + level * float(images.std()) * torch.from_numpy(noise)), ""
    for digits in (1, 0):
        yield "labels: rounded", f"{digits} decimals", of(labels=labels.round(decimals=digits)), ""
    for how in ("float16", "uint8"):
        if how != package.stored.images:
            yield "images: stored", how, _stored(package, how, start), ""
    if package.theta_bn:
        dropped = {n: torch.full_like(v, float(n.endswith("running_var"))) for n, v in package.theta_bn.items()}
        yield "theta_bn: dropped", "", of(theta_bn=dropped), ""
        yield "theta_bn: receiver", "", _own_statistics(package, patients, start), "of unlabelled patches of the cohort"
    else:
        yield "theta_bn: dropped", "", _cannot("the network has no batch norm"), ""


def _cannot(reason: str) -> Network:
    def network() -> nn.Module:
        raise InputError(reason)

    return network


def _built(package: Package, backbone: str) -> nn.Module:
    size = package.patches.input_size
    return build(backbone, input_size=size, norm=package.norm, channels=package.channels)


def _seeded(package: Package) -> str:
    """Its start where that is drawn from a seed; the published one else."""
    return package.start if package.start in SEEDED else XAVIER


def _other_seed(package: Package, seed: int) -> Network:
    def network() -> nn.Module:
        # Never the package's own seed, nor another for which it is only a name.
        changed = replace(package, start=_seeded(package), seed=package.seed + 1_000_003 * (seed + 1), weights=None)
        other = _built(package, package.backbone)
        set_start(other, backbone=package.backbone, start=changed.start, seed=changed.seed)
        prints = layer_fingerprints(other)
        return rebuild(replace(changed, start_fingerprints=prints))

    return network


def _other_backbone(package: Package, name: str) -> Network:
    def network() -> nn.Module:
        other = _built(package, name)
        start = _seeded(package)
        set_start(other, backbone=name, start=start, seed=package.seed)
        changed = replace(
            package, backbone=name, start=start, weights=None, start_fingerprints=layer_fingerprints(other)
        )
        keep_no_statistics(other)
        if batch_norms(other) and package.inner_weights == "head":
            _measure(other, package.images.flatten(0, 1))
        take_steps(changed, other)
        if package.inner_weights == "all":
            _measure(other, package.images.flatten(0, 1))
        return other.requires_grad_(True).eval()

    return network


def _stored(package: Package, how: str, start: Path | str | None) -> Network:
    def network() -> nn.Module:
        received, _ = stored(package.images.numpy(), how)  # type: ignore[arg-type]
        return rebuild(replace(package, images=torch.from_numpy(received)), start)

    return network


def _own_statistics(package: Package, patients: Sequence[Patient], start: Path | str | None) -> Network:
    def network() -> nn.Module:
        found = _cohort_patches(package, patients)
        if package.inner_weights == "all":
            other = rebuild(package, start)
            _measure(other, found)
            return other.eval()
        other = started(package, start)
        keep_no_statistics(other)
        _measure(other, found)
        return rebuild(replace(package, theta_bn=statistics(other)), start)

    return network


@torch.no_grad()
def _measure(network: nn.Module, images: torch.Tensor) -> None:
    """Statistics of batches of up to 64 images, put in place."""
    keep_no_statistics(network)
    load_statistics(network, measure_statistics(network, network, images.split(64)))


def _cohort_patches(package: Package, patients: Sequence[Patient]) -> torch.Tensor:
    """Patches drawn anywhere from all radiographs, without their labels."""
    random = stream(package.seed, "fragility", "patches")
    films = [film for patient in patients for film in patient.films]
    each = max(1, _STATISTICS_PATCHES // len(films))
    found = []
    for number in random.permutation(len(films))[:_STATISTICS_PATCHES]:
        patches = film_patches(films[number], package)
        size, _ = patches.geometry(0, scoring=True)
        height, width = patches.cohort.shapes[0]
        tops, lefts = (random.integers(side - size + 1, size=each) for side in (height, width))
        found.append(patches.crop([Window(0, int(t), int(left), size) for t, left in zip(tops, lefts, strict=True)]))
    return torch.cat(found)


def _called(votes: Votes, delta: float) -> np.ndarray:
    return (votes.scores >= delta) & (votes.scores != UNDECIDED)


def _scores(votes: Votes) -> np.ndarray:
    return np.where(votes.scores == UNDECIDED, 0.0, votes.scores)

"""Several hospitals' packages put together, against pooling their patients and against each alone.

    python -m benchmarks.sharing.hospitals --out hospitals.jsonl  # 2, 4 and 8 hospitals of phantom patients
    python -m benchmarks.sharing.hospitals --data DIR --hospitals 2 4 --out lungs.jsonl  # of a cohort folder
    python -m benchmarks.sharing.hospitals --out hospitals.jsonl --table hospitals.csv  # the table of what was run

One cohort is divided by patients. A share is tested, in every arm the same; the others go to 2, 4 and 8 hospitals:

    even         the same prevalence and exposure everywhere
    prevalence   the share of positive patients goes from a low one in the first hospital to a high one in the last
    exposure     films of the first are brighter, those of the last darker (a gamma of each hospital's own)
    device       films of the first are blurred and clean, those of the last sharp and noisy

Test patients are of all hospitals in turn, as their hospital takes films. Each hospital distils its own patients, from
the same start, and then

    alone         each package by itself, their AUCs averaged
    pooled        one distillation of all patients, which nobody could make
    sequence      inner steps of one after those of the other; reversed; shrunk: rates divided by the number
    interleaved   a step of each in turn (differs from sequence where --distill-steps is above 1)
    beside        all images in one step, at the mean rates
    average       weights averaged: one round of federated averaging
    votes         patch votes of all networks added

Rows of --out are runs, with the score of every test patient by number; a run that is there already is not run again.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from torch import nn

import sldd
from benchmarks.measure import one_thread
from benchmarks.sharing.patients import add_options, patch_settings, source_of
from sldd.data.cohort import Cohort, default_cache, prepare
from sldd.data.patches import Patches
from sldd.errors import InputError
from sldd.io.film import Radiograph, Source
from sldd.metrics.auc_bootstrap import AucBootstrap, estimate
from sldd.metrics.patient_votes import Votes, count_votes
from sldd.package import Package
from sldd.package.combine.images import combine, pooled
from sldd.package.combine.votes import add_votes
from sldd.package.combine.weights import average
from sldd.package.rebuild.rebuild import rebuild
from sldd.rng import stream

SHIFTS = ("even", "prevalence", "exposure", "device")
GAMMAS = (0.7, 1.4)
"""Of the first and the last hospital's films: 255 (v / 255) ** gamma."""
SHARES = (0.2, 0.8)
"""Of positive patients in the first and the last hospital, relative to each other, where prevalence differs."""
BLURS, NOISES = (0.006, 0.0), (0.0, 0.04)
"""Of the first and the last hospital's films: deviations of a Gaussian, in shares of the shorter side, and of white."""
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Device:
    """How a hospital takes films: gamma, then blur, then noise, measured as ``GAMMAS``, ``BLURS`` and ``NOISES``."""

    gamma: float = 1.0
    blur: float = 0.0
    noise: float = 0.0

    def take(self, pixels: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """(height, width) pixels as this device shows them; the same ones where it changes nothing."""
        white, shown = np.iinfo(pixels.dtype).max, pixels
        if self.gamma != 1:
            shown = white * (shown / white) ** self.gamma
        if self.blur:
            shown = gaussian_filter(shown.astype(np.float64), self.blur * min(shown.shape))
        if self.noise:
            shown = shown + self.noise * white * random.standard_normal(shown.shape)
        return pixels if shown is pixels else np.rint(shown).clip(0, white).astype(pixels.dtype)


class HospitalSource:
    """Some patients of a source, with a split and a device each.

    Args:
        source: all patients, with one label each.
        parts: split and device of each patient that is taken, by number.
    """

    classes: Sequence[str] = ()
    smallest_class = None

    def __init__(self, source: Source, parts: dict[int, tuple[str, Device]]) -> None:
        self._source, chosen = source, sorted(parts)
        number = {patient: place for place, patient in enumerate(chosen)}
        self._films = [film for film, each in enumerate(source.films) if each.patient in number]
        self._devices = [parts[source.films[film].patient][1] for film in self._films]
        self.patient_ids = [source.patient_ids[patient] for patient in chosen]
        self.films = [
            replace(each, patient=number[each.patient], split=parts[each.patient][0])
            for each in (source.films[film] for film in self._films)
        ]
        self._parts = parts

    def fingerprint(self) -> str:
        """SHA-256 over that of the whole, and parts."""
        return hashlib.sha256(f"{self._source.fingerprint()} {sorted(self._parts.items())}".encode()).hexdigest()

    def read(self, film: int) -> Any:
        """One film, as its hospital takes it."""
        number = self._films[film]
        pixels, mask = self._source.read(number)
        shown = pixels.pixels if isinstance(pixels, Radiograph) else pixels
        return self._devices[film].take(shown, stream(0, "device", number)), mask


@dataclass(frozen=True)
class Division:
    """Patients by number: those of each hospital who train and validate, those who are tested, and devices of all."""

    train: list[list[int]]
    validation: list[list[int]]
    test: list[int]
    devices: dict[int, Device]


def divide(labels: Sequence[int], hospitals: int, shift: str, tested: float = 0.4) -> Division:
    """Divide patients; which are tested does not depend on how many hospitals there are.

    Raises:
        InputError: a hospital has too few patients of a label to train and to validate.
    """
    train: list[list[int]] = [[] for _ in range(hospitals)]
    validation: list[list[int]] = [[] for _ in range(hospitals)]
    test: list[int] = []
    devices: dict[int, Device] = {}
    kinds = {"exposure": {"gamma": GAMMAS}, "device": {"blur": BLURS, "noise": NOISES}}.get(shift, {})
    levels = {name: np.linspace(*ends, hospitals).tolist() for name, ends in kinds.items()}
    own = [Device(**{name: values[number] for name, values in levels.items()}) for number in range(hospitals)]
    for label in (0, 1):
        order = stream(0, "hospitals", label).permutation(np.flatnonzero(np.array(labels) == label)).tolist()
        count = round(tested * len(order))
        test += order[:count]
        devices |= {patient: own[turn % hospitals] for turn, patient in enumerate(order[:count])}
        shares = np.linspace(*(SHARES if label else SHARES[::-1]), hospitals)
        shares = shares if shift == "prevalence" else np.ones(hospitals)
        ends = np.rint(np.cumsum(shares) / shares.sum() * (len(order) - count)).astype(int) + count
        for number, (begin, end) in enumerate(zip([count, *ends[:-1]], ends, strict=True)):
            group = order[begin:end]
            if len(group) < 2:
                raise InputError(
                    f"{hospitals} hospitals: one has {len(group)} patients of label {label}; ask for fewer"
                )
            held = max(1, round(0.2 * len(group)))
            validation[number] += group[:held]
            train[number] += group[held:]
            devices |= dict.fromkeys(group, own[number])
    return Division(train, validation, sorted(test), devices)


def _cohort(source: Source, division: Division, hospitals: Sequence[int], cache: Path) -> Cohort:
    """Patients of these hospitals who train and validate, with the test patients."""
    parts = {patient: ("test", division.devices[patient]) for patient in division.test}
    for name, groups in (("train", division.train), ("validation", division.validation)):
        parts |= {patient: (name, division.devices[patient]) for number in hospitals for patient in groups[number]}
    return prepare(HospitalSource(source, parts), cache)


def arms_of(packages: Sequence[Package]) -> Iterator[tuple[str, Package, nn.Module]]:
    """Networks of all packages together, each with a package that says how films are standardised for it."""
    names = [f"hospital {number + 1}" for number in range(len(packages))]
    backwards = list(reversed(packages))
    orders = [
        ("sequence", combine(packages, names, "sequence")),
        ("reversed", combine(backwards, names[::-1], "sequence")),
        ("shrunk", combine(packages, names, "sequence", shrink=True)),
        ("beside", combine(packages, names, "beside")),
    ]
    if len(packages[0].images) > 1:
        orders.append(("interleaved", combine(packages, names, "interleaved")))
    for name, joined in orders:
        yield name, joined, rebuild(joined)
    mean, deviation = pooled(packages)
    yield "average", replace(packages[0], mean=mean, deviation=deviation), average(packages, names)


@torch.no_grad()
def _votes(network: nn.Module, package: Package, cohort: Cohort) -> Votes:
    patients = [patient for patient, part in enumerate(cohort.splits) if part == "test"]
    patches = Patches(cohort, package.patches, package.mean, package.deviation)
    return count_votes(network, patches, patients, batch=256, device=CPU)


def run(source: Source, shift: str, hospitals: int, seed: int, options: argparse.Namespace) -> dict[str, Any]:
    """One row: the scores of all test patients by every arm; of ``alone`` a list for each hospital."""
    labels = [0] * len(source.patient_ids)
    for film in source.films:
        labels[film.patient] = film.label
    division = divide(labels, hospitals, shift)
    cache = default_cache() if options.cache is None else options.cache

    def distilled(which: Sequence[int]) -> tuple[Package, Cohort]:
        cohort = _cohort(source, division, which, cache)
        made = sldd.distill(
            options.backbone,
            cohort,
            images=options.images,
            distill_steps=options.distill_steps,
            norm=options.norm,
            outer_lr=options.outer_lr,
            patches=patch_settings(options),
            outer=sldd.OuterSettings(steps=options.steps, batch_size=options.batch, evaluations=4),
            seed=seed,
            show_progress=False,
        )
        return made.package, cohort

    packages = [distilled([number])[0] for number in range(hospitals)]
    everybody, cohort = distilled(range(hospitals))
    alone = [_votes(rebuild(package), package, cohort) for package in packages]
    scores = {"pooled": _votes(rebuild(everybody), everybody, cohort), "votes": add_votes(alone)}
    for name, package, network in arms_of(packages):
        scores[name] = _votes(network, package, cohort)
    return {
        "shift": shift,
        "hospitals": hospitals,
        "seed": seed,
        "labels": scores["pooled"].labels.tolist(),
        "scores": {name: votes.scores.tolist() for name, votes in scores.items()},
        "alone": [votes.scores.tolist() for votes in alone],
    }


def table(rows: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """A line for each shift, number of hospitals and arm: AUC, and what it is over pooling and over each alone."""
    groups = dict.fromkeys((row["shift"], row["hospitals"]) for row in rows)
    for shift, hospitals in groups:
        runs = [row for row in rows if (row["shift"], row["hospitals"]) == (shift, hospitals)]
        drawn = AucBootstrap(np.array(runs[0]["labels"]), len(runs))
        alone = np.mean([drawn.aucs(np.array([row["alone"][n] for row in runs])) for n in range(hospitals)], 0)
        found = {"alone": alone}
        found |= {name: drawn.aucs(np.array([row["scores"][name] for row in runs])) for name in runs[0]["scores"]}
        for name, aucs in found.items():
            yield {
                "shift": shift,
                "hospitals": hospitals,
                "arm": name,
                "seeds": len(runs),
                "auc": str(estimate(aucs)),
                "over pooled": "" if name == "pooled" else str(estimate(aucs - found["pooled"])),
                "over alone": "" if name == "alone" else str(estimate(aucs - alone)),
            }


def main(arguments: list[str] | None = None) -> int:
    """``python -m benchmarks.sharing.hospitals``; 2 for bad input."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.sharing.hospitals",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", type=Path, required=True, metavar="RUNS.jsonl")
    parser.add_argument("--table", type=Path, metavar="TABLE.csv", help="write the table; run nothing")
    add_options(parser, patients=160)
    parser.add_argument("--hospitals", type=int, nargs="+", default=[2, 4, 8])
    parser.add_argument("--shifts", nargs="+", choices=SHIFTS, default=list(SHIFTS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--backbone", default="convnet_w32")
    parser.add_argument("--norm", default="as_is")
    parser.add_argument("--images", type=int, default=3)
    parser.add_argument("--distill-steps", type=int, default=1)
    parser.add_argument("--steps", type=int, default=300, help="outer steps of every distillation")
    parser.add_argument("--batch", type=int, default=48)
    parser.add_argument("--outer-lr", type=float, default=0.03)
    options = parser.parse_args(arguments)
    one_thread()
    rows = [json.loads(line) for line in options.out.read_text().splitlines()] if options.out.exists() else []
    try:
        if options.table is None:
            source, known = (
                source_of(options, options.data),
                {(row["shift"], row["hospitals"], row["seed"]) for row in rows},
            )
            jobs = [(s, n, seed) for seed in range(options.seeds) for s in options.shifts for n in options.hospitals]
            for shift, hospitals, seed in jobs:
                if (shift, hospitals, seed) in known:
                    continue
                begun = time.process_time()
                row = run(source, shift, hospitals, seed, options)
                spent = time.process_time() - begun
                rows.append(row | {"core_seconds": round(spent, 1)})
                with options.out.open("a") as file:
                    file.write(json.dumps(rows[-1]) + "\n")
                print(f"{shift}, {hospitals} hospitals, seed {seed}: {spent:.0f} core seconds", flush=True)
    except InputError as error:
        print(f"benchmarks.sharing.hospitals: {error}", file=sys.stderr)
        return 2
    lines = [*table(rows)]
    for line in lines:
        print(
            "  ".join(
                f"{value!s:<22}" if name in ("auc", "over pooled", "over alone") else f"{value!s:<11}"
                for name, value in line.items()
            )
        )
    if options.table is not None and lines:
        with options.table.open("w", newline="") as file:
            writer = csv.DictWriter(file, lines[0], lineterminator="\n")
            writer.writeheader()
            writer.writerows(lines)
    return 0


if __name__ == "__main__":
    sys.exit(main())

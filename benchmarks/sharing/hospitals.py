"""Several hospitals' packages put together, against pooling their patients and against each alone.

    python -m benchmarks.sharing.hospitals --out hospitals.jsonl  # 2, 4 and 8 hospitals of phantom patients
    python -m benchmarks.sharing.hospitals --data DIR --hospitals 2 4 --out lungs.jsonl  # of a cohort folder
    python -m benchmarks.sharing.hospitals --out hospitals.jsonl --table hospitals.csv  # the table of what was run

One cohort is divided by patients. A share is tested, in every arm the same; the others go to 2, 4 and 8 hospitals:

    even         the same prevalence and exposure everywhere
    prevalence   the share of positive patients goes from a low one in the first hospital to a high one in the last
    exposure     films of the first are brighter, those of the last darker (a gamma of each hospital's own)
    device       films of the first are blurred and clean, those of the last sharp and noisy

Test patients are of all hospitals in turn, as their hospital takes films, and the same for all seeds; who of the others
is in which hospital differs by seed, so that intervals hold that luck too. Each hospital distils its own patients, from
the same start, and then

    alone         each package by itself, their AUCs averaged
    pooled        one distillation of all patients, which nobody could make
    matched       the same with as many images and outer steps as all hospitals have together
    sequence      inner steps of one after those of the other; reversed; shrunk: rates divided by the number
    interleaved   a step of each in turn (differs from sequence where --distill-steps is above 1)
    beside        all images in one step, at the mean rates
    relay         each in turn distils from where the package before leads, so that what is handed on is one network
    average       weights averaged: one round of federated averaging; measured: its batch-norm statistics are not the
                  mean of the packages', but those of the validation patients' patches under the new weights
    votes         patch votes of all networks added

Rows of --out are runs, with the score of every test patient by number. A run that is there already is not run again,
and runs of other settings are not gone on with.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import sldd
from benchmarks.measure import one_thread
from benchmarks.runs_file import RunsFile, read_runs, settings_of, write_table
from benchmarks.sharing.divide import SHIFTS, Division, cohort_of, define, divide, labels_of
from benchmarks.sharing.options import add_distillation, add_patients, patch_settings, source_of
from sldd.backbones.norms import keep_no_statistics, load_statistics, measure_statistics
from sldd.data.cohort import Cohort, default_cache
from sldd.data.patches import BalancedBatches, Patches
from sldd.errors import InputError
from sldd.io.film import Source
from sldd.metrics.auc_bootstrap import AucBootstrap, estimate
from sldd.metrics.patient_votes import Votes, count_votes
from sldd.package import Package, PackageSettings
from sldd.package.combine.images import combine, pooled
from sldd.package.combine.votes import add_votes
from sldd.package.combine.weights import average
from sldd.package.rebuild.rebuild import rebuild
from sldd.rng import stream

CPU = torch.device("cpu")
_OUTER = sldd.OuterSettings(evaluations=3, statistics_batches=16)


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
    """Votes on the test patients' patches, which are standardised as the package says."""
    patients = [patient for patient, part in enumerate(cohort.splits) if part == "test"]
    patches = Patches(cohort, package.patches, package.mean, package.deviation)
    return count_votes(network, patches, patients, batch=256, device=CPU)


def _measured(
    network: nn.Module, package: Package, cohort: Cohort, seed: int, options: argparse.Namespace
) -> nn.Module:
    """The network with batch-norm statistics measured on validation patients, as a study that starts from it does."""
    patients = [patient for patient, part in enumerate(cohort.splits) if part == "validation"]
    drawn = BalancedBatches(Patches(cohort, package.patches, package.mean, package.deviation), patients)
    random = stream(seed, "hospitals", "statistics")
    keep_no_statistics(network)
    batches = (drawn.draw(random, options.batch)[0] for _ in range(_OUTER.statistics_batches))
    load_statistics(network, measure_statistics(network, network, batches))
    return network.eval()


def run(source: Source, shift: str, hospitals: int, seed: int, options: argparse.Namespace) -> dict[str, Any]:
    """Columns of a run: the scores of all test patients by every arm; of ``alone`` a list for each hospital."""
    division = divide(labels_of(source), hospitals, shift, seed)

    def distilled(which: Sequence[int], *, times: int = 1, after: Package | None = None) -> tuple[Package, Cohort]:
        return _distilled(source, division, which, seed, options, times=times, after=after)

    packages = [distilled([number])[0] for number in range(hospitals)]
    relayed = packages[0]
    for number in range(1, hospitals):
        relayed = distilled([number], after=relayed)[0]
    everybody, cohort = distilled(range(hospitals))
    matched, _ = distilled(range(hospitals), times=hospitals)
    alone = [_votes(rebuild(package), package, cohort) for package in packages]
    whole = {"pooled": everybody, "matched": matched, "relay": relayed}
    scores = {name: _votes(rebuild(made), made, cohort) for name, made in whole.items()}
    scores["votes"] = add_votes(alone)
    for name, package, network in arms_of(packages):
        scores[name] = _votes(network, package, cohort)
        if name == "average":
            scores["measured"] = _votes(_measured(network, package, cohort, seed, options), package, cohort)
    return {
        "labels": scores["pooled"].labels.tolist(),
        "scores": {name: _short(votes) for name, votes in scores.items()},
        "alone": [_short(votes) for votes in alone],
    }


def _distilled(
    source: Source,
    division: Division,
    which: Sequence[int],
    seed: int,
    options: argparse.Namespace,
    *,
    times: int,
    after: Package | None,
) -> tuple[Package, Cohort]:
    """Distil the patients of some hospitals (``which``); the package, and the cohort with the test patients.

    Args:
        times: factor on the images and the outer steps of one hospital.
        after: the package whose weights it starts from; None for the start of all.
    """
    cohort = cohort_of(source, division, which, default_cache() if options.cache is None else options.cache)
    with tempfile.TemporaryDirectory() as folder:
        start = Path(folder, "before.safetensors")
        if after is not None:
            after.save(start)
        made = sldd.distill(
            options.backbone,
            cohort,
            images=times * options.images,
            distill_steps=options.distill_steps,
            norm=options.norm,
            start=options.start if after is None else start,
            outer_lr=options.outer_lr,
            distill=sldd.DistillSettings(inner_weights=options.inner_weights),
            patches=patch_settings(options),
            outer=replace(_OUTER, steps=times * options.steps, batch_size=options.batch),
            package=PackageSettings(weights=after is not None),
            seed=seed,
            show_progress=False,
        )
    return made.package, cohort


def _short(votes: Votes) -> list[float]:
    """Scores, which are shares of some hundred patches, in as many digits as tell them apart."""
    return votes.scores.round(6).tolist()


_COLUMNS = ("shift", "hospitals", "labels", "alone", "scores")
"""What the table reads of a run."""


def table(rows: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """A line for each shift, number of hospitals and arm: AUC, and what it is over pooling and over each alone."""
    groups: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["shift"], row["hospitals"]), []).append(row)
    for (shift, hospitals), runs in groups.items():
        bootstrap = AucBootstrap(np.array(runs[0]["labels"]), len(runs))
        each = [bootstrap.aucs(np.array([row["alone"][number] for row in runs])) for number in range(hospitals)]
        alone = np.mean(each, axis=0)
        found = {"alone": alone}
        for name in runs[0]["scores"]:
            found[name] = bootstrap.aucs(np.array([row["scores"][name] for row in runs]))
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
    add_patients(parser, patients=160)
    add_distillation(parser, steps=120)
    parser.add_argument("--hospitals", type=int, nargs="+", default=[2, 4, 8])
    parser.add_argument("--shifts", nargs="+", choices=SHIFTS, default=list(SHIFTS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--norm", default="as_is")
    parser.add_argument("--distill-steps", type=int, default=1)
    options = parser.parse_args(arguments)
    one_thread()
    try:
        lines = [*table(_completed(options) if options.table is None else read_runs(options.out, _COLUMNS))]
        if options.table is not None:
            write_table(options.table, lines)
    except InputError as error:
        print(f"benchmarks.sharing.hospitals: {error}", file=sys.stderr)
        return 2
    for line in lines:
        print(
            "  ".join(
                f"{value!s:<22}" if name in ("auc", "over pooled", "over alone") else f"{value!s:<11}"
                for name, value in line.items()
            )
        )
    return 0


def _completed(options: argparse.Namespace) -> list[dict[str, Any]]:
    """All runs of --out, once those that it lacked are there."""
    runs = RunsFile(options.out, settings_of(options, "hospitals", "shifts"), defined=("shift", define))
    source = source_of(options, options.data)
    jobs = [
        {"shift": shift, "hospitals": hospitals, "seed": seed}
        for seed, shift, hospitals in product(range(options.seeds), options.shifts, options.hospitals)
    ]
    runs.add_missing(jobs, lambda job: [run(source, **job, options=options)])
    return runs.rows


if __name__ == "__main__":
    sys.exit(main())

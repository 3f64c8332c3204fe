"""Stratified folds against random ones: how far each fold's share of each finding is off.

    python -m benchmarks.folds ../shared/data/chest/nih64
    python -m benchmarks.folds DIR --source chexpert --folds 10

Printed is, for each kind of fold, by how much of its share the number of a fold's patients with a finding is off, on
average over findings and folds: the mean over seeds, and the smallest and largest.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import numpy as np

from sldd.data.cohort import Cohort, default_cache, prepare
from sldd.data.settings import DataSettings, open_source
from sldd.data.split import SplitSettings, fold_patients
from sldd.data.stratify import patient_findings
from sldd.errors import InputError
from sldd.rng import stream


def imbalance(cohort: Cohort, folds: Sequence[Sequence[int]]) -> float:
    """Mean over findings and folds of ``|patients with the finding - share| / share``, of findings that anyone has.

    Args:
        folds: patients of each fold, all patients once.
    """
    findings = patient_findings(cohort)
    found = np.array([findings[list(fold)].sum(0) for fold in folds], np.float64)
    share = findings.sum(0) * np.array([[len(fold) / cohort.patients] for fold in folds])
    known = share > 0
    return float((np.abs(found - share)[known] / share[known]).mean())


def by_chance(cohort: Cohort, folds: int, seed: int) -> list[list[int]]:
    """Random folds of equal size (to one patient), whatever patients have."""
    order = stream(seed, "folds by chance").permutation(cohort.patients)
    return [part.tolist() for part in np.array_split(order, folds)]


def main(arguments: list[str] | None = None) -> int:
    """``python -m benchmarks.folds``."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.folds", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("root", metavar="DIR", help="films with findings")
    parser.add_argument("--source", choices=["nih", "chexpert", "hospital"], default="nih")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=10, help="how many (default: 10)")
    options = parser.parse_args(arguments)
    try:
        cohort = prepare(open_source(DataSettings(source=options.source, root=options.root)), default_cache())
        stratified = [
            imbalance(cohort, [split.test for split in fold_patients(cohort, options.folds, SplitSettings(seed=seed))])
            for seed in range(options.seeds)
        ]
    except InputError as error:
        print(f"benchmarks.folds: {error}", file=sys.stderr)
        return 2
    chance = [imbalance(cohort, by_chance(cohort, options.folds, seed)) for seed in range(options.seeds)]
    print(f"{cohort.patients:,} patients with {len(cohort.film_patients):,} films, {options.folds} folds\n")
    print("| folds | off the share | from | to |\n| --- | ---: | ---: | ---: |")
    for name, values in (("stratified", stratified), ("by chance", chance)):
        print(f"| {name} | {np.mean(values):.0%} | {min(values):.0%} | {max(values):.0%} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())

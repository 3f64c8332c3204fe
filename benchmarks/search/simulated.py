"""How good the settings are that a search confirms: samplers and scores, on simulated cells.

    python -m benchmarks.search.simulated                          # every sampler and score; about half an hour
    python -m benchmarks.search.simulated tpe shared --trials 3 --studies 5

A simulated study has cells whose score depends on two rates and falls from its peak as a Gaussian. Where the peak lies
drifts with the logarithm of parameters (far), does so a little (near), or is anybody's guess in each cell (apart). A
trial's validation patients are drawn anew, so that HM of few of them is mostly luck, and the trial's own luck moves its
skill. Trials pass through the search of a study and its ledger as real ones do; no image is looked at. Printed is the
share of each cell's best skill that the confirmed setting has: its mean, the standard error of that over the studies,
and the worst cell's.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measure import one_thread
from ledger.ledger import FORMAT, Ledger
from ledger.trial_folder import TrialFolder
from sldd.metrics.patient_evaluator import PatientScores
from sldd.metrics.patient_votes import Votes
from sldd.rng import stream
from study.config.samplers import SAMPLERS, SHARED
from study.config.search_settings import ConfirmSettings, SearchSettings
from study.grid.axes import Cell
from study.grid.spec import Score, TrialSpec
from study.search.cell_search import CellSearch
from study.search.shared_model import SharedModel

DRIFTS = {"near": 0.1, "far": 0.4, "apart": None}
"""How far the peak goes from the middle of the ranges, in shares of them, from the middle network to the largest; None
where it lies anywhere."""
_WIDTH = 0.3
"""Of the peak, in shares of the ranges."""
_PATCHES = 100
"""That vote for N or P, of each patient."""
_SPREAD = 15.0
"""SD of a patient's votes, in patches: how hard patients are."""
_LUCK = 0.04
"""SD of a trial's skill around that of its setting."""


@dataclass(frozen=True)
class SimulatedCell:
    """A cell with a known best setting.

    Attributes:
        best: shares of the ranges of outer and inner rate.
        skill: there, from 0 (chance) to 1.
    """

    cell: Cell
    parameters: int
    best: tuple[float, float]
    skill: float

    def share(self, spec: TrialSpec, settings: SearchSettings) -> float:
        """Share of the best skill that a trial's setting x has: exp(-|x - best|^2 / (2 _WIDTH^2)), in shares of the
        ranges on log axes."""
        assert spec.inner_lr is not None
        rates = ((spec.outer_lr, settings.outer_lr), (spec.inner_lr, settings.inner_lr))
        at = [math.log(rate / low) / math.log(high / low) for rate, (low, high) in rates]
        squared = sum((own - best) ** 2 for own, best in zip(at, self.best, strict=True))
        return math.exp(-squared / (2 * _WIDTH**2))


def simulated_cells(drift: float | None, seed: int, number: int = 16) -> list[SimulatedCell]:
    """Cells of networks from 1e5 to 3e7 parameters, at one to three images.

    Args:
        drift: one of ``DRIFTS``.
    """
    random = stream(seed, "cells")
    made = []
    for network in range(number):
        size = random.uniform(-1, 1)  # on a log axis: the smallest network to the largest
        jitter = random.normal(0, 0.05, 2)
        best = random.uniform(0.1, 0.9, 2) if drift is None else 0.5 + drift * np.array([size, -size]) + jitter
        cell = Cell(f"net{network}", "sldd", "as_is", int(random.integers(1, 4)), "one_hot", 1, 1)
        parameters = int(10 ** (6.25 + 1.25 * size))
        made.append(SimulatedCell(cell, parameters, (float(best[0]), float(best[1])), float(random.uniform(0.5, 0.9))))
    return made


def result(skill: float, patients: int, random: np.random.Generator, ended: int) -> dict[str, Any]:
    """A trial's result: votes of validation patients, and of patches with known classes, at a skill from 0 to 1.

    Args:
        ended: trials that had ended before it, and this one.
    """
    labels = np.arange(patients) % 2
    middle = _PATCHES * (0.5 + 0.35 * skill * (2 * labels - 1))
    positive = np.clip(np.rint(middle + random.normal(0, _SPREAD, patients)), 0, _PATCHES).astype(int)
    counts = np.stack([np.full(patients, _PATCHES), _PATCHES - positive, positive], axis=1)
    # Of 1000 patches of each class I, N and P; those that are called wrong: I as N, N as P, P as N.
    right = np.array([0.95, 0.5 + 0.45 * skill, 0.5 + 0.45 * skill])
    confusion = np.diag(np.rint(1000 * right)) + np.diag(np.rint(1000 * (1 - right[:2])), 1)
    confusion[2, 1] = 1000 - confusion[2, 2]
    scores = PatientScores(Votes(list(range(patients)), labels, counts, confusion.astype(int)), None)
    seen = scores.describe([f"P-{patient}" for patient in range(patients)], None)
    return {
        "status": "done", "delta": scores.threshold, "seconds": 1.0, "history": [], "starts": [0],
        "validation": seen, "finished": f"{ended:09}",
    }  # fmt: skip


def confirmed_shares(
    cells: Sequence[SimulatedCell], settings: SearchSettings, *, patients: int, seed: int
) -> tuple[list[float], float]:
    """Share of its best skill that each cell's confirmed setting has, and CPU seconds a suggestion."""
    with tempfile.TemporaryDirectory() as folder:
        ledger = Ledger(Path(folder))
        ledger.hold()
        ledger.start({"format": FORMAT, "name": "simulated", "config": {}, "provenance": {}})
        shared = None
        if settings.sampler == SHARED:
            shared = SharedModel(ledger, [(each.cell, each.parameters) for each in cells])
        searches = [
            CellSearch(
                each.cell,
                settings,
                ConfirmSettings(1),
                ledger,
                seed=seed,
                parameters=each.parameters,
                shared=shared,
            )
            for each in cells
        ]
        ended, seconds = 0, 0.0
        for _ in range(settings.trials):
            for each, search in zip(cells, searches, strict=True):
                begun = time.process_time()
                trial = search.next()
                seconds += time.process_time() - begun
                assert trial is not None
                ended += 1
                random = stream(seed, trial.name)
                usual = each.skill * each.share(TrialSpec.of(trial), settings)
                skill = float(np.clip(usual + random.normal(0, _LUCK), 0, 1))
                TrialFolder(trial.folder, trial.config["owner"]).finish(result(skill, patients, random, ended))
                ledger.refresh(trial)
                search.ended(trial, given_up=False)
        shares = []
        for each, search in zip(cells, searches, strict=True):
            best = search.state.best
            assert best is not None
            shares.append(each.share(TrialSpec.of(ledger.trials[each.cell.name][best.index]), settings))
        ledger.close()
    return shares, seconds / ended


def rows(
    samplers: Sequence[str], scores: Sequence[Score], trials: Sequence[int], studies: int, patients: int
) -> Iterator[str]:
    """Lines of the table."""
    yield "| peak | trials | sampler | score | share of the best (SE) | worst cell | CPU ms a suggestion |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for drift, count in product(DRIFTS, trials):
        for sampler, score in [("middle", "smooth"), *((sampler, score) for sampler in samplers for score in scores)]:
            settings = SearchSettings(trials=count, sampler=sampler, score=score)
            if sampler == "middle":
                settings = SearchSettings(trials=1)
            found = [
                confirmed_shares(simulated_cells(DRIFTS[drift], seed), settings, patients=patients, seed=seed)
                for seed in range(studies)
            ]
            means = [statistics.fmean(shares) for shares, _ in found]
            worst = [min(shares) for shares, _ in found]
            error = statistics.stdev(means) / math.sqrt(studies) if studies > 1 else math.nan
            cost = 1000 * statistics.fmean(seconds for _, seconds in found)
            yield (
                f"| {drift} | {settings.trials} | {sampler} | {score} | {statistics.fmean(means):.3f} ({error:.3f}) "
                f"| {statistics.fmean(worst):.2f} | {cost:.0f} |"
            )


def main(arguments: list[str] | None = None) -> int:
    """``python -m benchmarks.search.simulated``."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.search.simulated",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    known = [*SAMPLERS, SHARED]
    parser.add_argument("samplers", nargs="*", choices=[*known, []], metavar="SAMPLER", help=", ".join(known))
    parser.add_argument("--scores", nargs="+", choices=["smooth", "headline"], default=["smooth", "headline"])
    parser.add_argument("--trials", nargs="+", type=int, default=[3, 8], help="search trials a cell")
    parser.add_argument("--studies", type=int, default=20)
    parser.add_argument("--patients", type=int, default=16, help="for validation")
    options = parser.parse_args(arguments)
    one_thread()
    for line in rows(options.samplers or known, options.scores, options.trials, options.studies, options.patients):
        print(line, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

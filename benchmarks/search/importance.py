"""How often the page's importances tell a setting that matters, and one that does not: simulated studies.

    python -m benchmarks.search.importance --studies 100

A trial's score is -4 effect (a - 0.3)^2 plus normal noise of SD 0.5, with rates a and b in [0, 1]: it has a peak over
one rate, and nothing to do with the other; cells are alike. Trials lie at random, or follow their cell's best so far as
a sampler's do. The first trial of a cell, which takes the middle of all ranges, is not among them. The true importance
is that of a study with 2,000 trials.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator

import numpy as np

from analysis.stats.importance import LEVEL, Importance, Values, importances
from benchmarks.measure import one_thread

DESIGNS = ((12, 2, 0.0, False), (8, 7, 0.0, False), (8, 7, 0.0, True), (12, 2, 1.5, False), (30, 2, 1.5, False),
           (8, 7, 1.5, False), (8, 7, 1.5, True), (8, 15, 1.5, False))  # fmt: skip
"""Cells, trials a cell, effect, and whether trials follow the best."""
_PEAK, _NOISE = 0.3, 0.5
_FOLLOW, _STEP = 0.7, 0.15
"""Share of trials that follow the best, and SD of how far from it they lie."""
_TRUTH = 2000
"""Trials of the study whose importance counts as true."""


def simulated(cells: int, trials: int, effect: float, *, follow: bool, rng: np.random.Generator) -> list[Importance]:
    """Importances of the rate that matters and of the other, in one study."""
    rates = rng.random((2, cells, trials))  # of the rate that matters, and of the other
    scores = np.zeros((cells, trials))
    noise = _NOISE * rng.normal(size=(cells, trials))
    for trial in range(trials):
        if follow and trial > 2:
            best = scores[:, :trial].argmax(1)
            near = rates[:, np.arange(cells), best] + _STEP * rng.normal(size=(2, cells))
            rates[:, :, trial] = np.where(rng.random(cells) < _FOLLOW, near.clip(0, 1), rates[:, :, trial])
        scores[:, trial] = noise[:, trial] - 4 * effect * (rates[0, :, trial] - _PEAK) ** 2
    order = np.argsort(-scores, axis=1)  # of each cell, the best first
    values = [Values.of_range(np.take_along_axis(rate, order, 1).ravel()) for rate in rates]
    found = importances(np.repeat(np.arange(cells), trials), {"a": values[0], "b": values[1]}, rng)
    return list(found.values())


def lines(studies: int) -> Iterator[str]:
    """Lines of the table."""
    yield "| cells x trials | effect | it is told | the other is | importance (true) | interval holds it |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: |"
    for cells, trials, effect, follow in DESIGNS:
        rng = np.random.default_rng(0)
        true = simulated(_TRUTH // trials, trials, effect, follow=follow, rng=rng)[0].value
        found = [simulated(cells, trials, effect, follow=follow, rng=rng) for _ in range(studies)]
        told = [sum(each[rate].p <= 1 - LEVEL for each in found) / studies for rate in (0, 1)]
        mean = sum(each[0].value for each in found) / studies
        held = sum(each[0].low <= true <= each[0].high for each in found) / studies
        how = ", following the best" if follow else ""
        design = f"| {cells} x {trials}{how} | {effect} | "
        yield f"{design}{told[0]:.2f} | {told[1]:.2f} | {mean:.2f} ({true:.2f}) | {held:.2f} |"


def main(arguments: list[str] | None = None) -> int:
    """``python -m benchmarks.search.importance``."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.search.importance",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--studies", type=int, default=100, help="of each design")
    one_thread()
    for line in lines(parser.parse_args(arguments).studies):
        print(line, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""What searches reach on recorded truth: the score on test patients against core seconds, by sampler and pruner.

    python -m benchmarks.search.replay                      # every search on benchmarks/search/truth.csv, 20 seeds
    python -m benchmarks.search.replay --trials 3 --seeds 5 --table FILE.csv

Each network of the table (``benchmarks.search.truth``) is a cell of one study. Trials pass through the search and the
ledger as real ones do; a suggestion stands for the nearest setting of the table that its cell has not tried, which
gives its scores on validation patients, at rungs too, and its seconds. Printed are the score on test patients that
settings which are confirmed can expect, its mean over networks, seeds and 95 % intervals over the seeds, the loss
against the middle alone where it is largest, and core seconds a cell. Seeds differ in what samplers draw, not in
patients.

What a setting can expect is the mean of its nearest neighbours in the table, its own row left out: confirm trials run
on fresh seeds, and a distillation is chaotic, so that a row's own score on test patients is half luck. It is the same
luck that its score on validation patients had, for which it was chosen; and that of the middle, one row, no mean evens.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.measure import one_thread
from benchmarks.search.truth import INNER, OUTER, TABLE, Row, read
from ledger.ledger import FORMAT, Ledger
from ledger.trial_folder import TrialFolder
from study.config.samplers import SHARED
from study.config.search_settings import ConfirmSettings, SearchSettings
from study.grid.axes import Cell
from study.grid.spec import Score, TrialSpec
from study.search.cell_search import CellSearch
from study.search.shared_model import SharedModel

_RUNGS = (1, 2)
NEAREST = 1 / 16
"""Share of a network's settings whose mean is what one of them can expect: those within a seventh of a range or so."""
_STEPS = 4
"""Steps of a run that the table has scores of: a quarter, half, all."""


@dataclass(frozen=True)
class Way:
    """A way to search.

    Attributes:
        factor: search trials for each that others get: halving runs half of the steps.
    """

    sampler: str
    score: Score = "smooth"
    pruner: str = "none"
    factor: int = 1


WAYS = {
    "tpe, headline (as in 0.1.0)": Way("tpe", "headline"),
    "tpe, smooth": Way("tpe"),
    "shared, smooth": Way(SHARED),
    "shared, smooth, halving": Way(SHARED, pruner="halving", factor=2),
    "gp, smooth": Way("gp"),
    "random, smooth": Way("random"),
}


def unit(outer_lr: float, inner_lr: float) -> tuple[float, float]:
    """Where two rates lie in the table's ranges, from 0 to 1 on log axes."""
    ends = ((outer_lr, OUTER), (inner_lr, INNER))
    return tuple(math.log(rate / low) / math.log(high / low) for rate, (low, high) in ends)  # type: ignore[return-value]


def expected(rows: Sequence[Row], row: Row) -> tuple[float, float]:
    """Smooth score and HM on test patients that a row's setting can expect of a fresh seed: means of its neighbours."""
    at = unit(row.outer_lr, row.inner_lr)
    others = [each for each in rows if each.network == row.network and each.setting != row.setting]
    near = sorted(others, key=lambda each: math.dist(at, unit(each.outer_lr, each.inner_lr)))
    near = near[: math.ceil(NEAREST * len(others))]
    return statistics.fmean(each.test_smooth for each in near), statistics.fmean(each.test_hm for each in near)


class Replayed:
    """The cell of a network, whose trials are rows of the table.

    Attributes:
        found: the row of each search trial so far, by the trial's index.
    """

    def __init__(self, rows: Sequence[Row]) -> None:
        name, _, norm = rows[0].network.partition(":")
        self.cell = Cell(name, "sldd", norm or "as_is", 3, "one_hot", 1, 1)  # type: ignore[arg-type]  # a word of those
        self.parameters = rows[0].parameters
        self.found: dict[int, Row] = {}
        self._rows = list(rows)

    def row(self, index: int, spec: TrialSpec) -> Row:
        """The row that a search trial stands for: the same whenever it is taken up."""
        if index not in self.found:
            assert spec.inner_lr is not None
            at, tried = unit(spec.outer_lr, spec.inner_lr), {row.setting for row in self.found.values()}
            left = [row for row in self._rows if row.setting not in tried]
            self.found[index] = min(left, key=lambda row: math.dist(at, unit(row.outer_lr, row.inner_lr)))
        return self.found[index]


def result(row: Row, spec: TrialSpec, ended: int) -> dict[str, Any]:
    """What a worker writes of a run of a row's setting, until its rung or its end.

    Args:
        ended: trials that had ended before it, and this one.
    """
    scores = [row.quarter, row.half, row.smooth, row.smooth][: spec.until or _STEPS]
    history = [
        {"step": step, "val_hm": row.headline, "val_auc": score, "val_patch_accuracy": score}
        for step, score in enumerate(scores, 1)
    ]
    validation = {"hm": row.headline, "auc": scores[-1], "patch_accuracy": scores[-1]}
    return {
        "status": "done", "delta": 0.5, "validation": validation | {"curve": {"delta": [1.0], "hm": [row.headline]}},
        "seconds": row.seconds * len(scores) / _STEPS, "history": history, "finished": f"{ended:09}",
        "rung": len(spec.taken_up) + 1 if spec.until else None, "stopped": spec.until is not None,
    }  # fmt: skip


def searched(rows: Sequence[Row], way: Way, trials: int, seed: int) -> tuple[list[Row], float]:
    """The rows that a study confirms, one a network, and core seconds a network."""
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        groups[row.network].append(row)
    cells = [Replayed(group) for group in groups.values()]
    settings = SearchSettings(
        trials=trials * way.factor,
        sampler=way.sampler,
        score=way.score,
        pruner=way.pruner,
        outer_lr=OUTER,
        inner_lr=INNER,
    )
    with tempfile.TemporaryDirectory() as folder:
        ledger = Ledger(Path(folder))
        ledger.hold()
        ledger.start({"format": FORMAT, "name": "replayed", "config": {}, "provenance": {}})
        shared = None
        if way.sampler == SHARED:
            shared = SharedModel(ledger, [(replayed.cell, replayed.parameters) for replayed in cells])
        searches = [
            CellSearch(
                replayed.cell,
                settings,
                ConfirmSettings(1),
                ledger,
                seed=seed,
                parameters=replayed.parameters,
                shared=shared,
                rungs=_RUNGS if way.pruner == "halving" else (),
            )
            for replayed in cells
        ]
        _search_all(cells, searches, ledger)
        spent = sum(trial.seconds or 0.0 for group in ledger.trials.values() for trial in group)
        confirmed = []
        for replayed, search in zip(cells, searches, strict=True):
            if (best := search.state.best) is not None:
                confirmed.append(replayed.found[best.index])
        ledger.close()
    return confirmed, spent / len(cells)


def _search_all(cells: Sequence[Replayed], searches: Sequence[CellSearch], ledger: Ledger) -> None:
    """Run all search trials, one of each cell in turn, until no cell has any left."""
    ended, searching = 0, list(zip(cells, searches, strict=True))
    while searching:
        for replayed, search in list(searching):
            if search.state.searched:
                searching.remove((replayed, search))
                continue
            trial = search.next()
            assert trial is not None
            ended, spec = ended + 1, TrialSpec.of(trial)
            found = result(replayed.row(trial.index, spec), spec, ended)
            TrialFolder(trial.folder, trial.config["owner"]).finish(found)
            ledger.refresh(trial)
            search.ended(trial, given_up=False)


def lines(rows: Sequence[Row], counts: Sequence[int], seeds: int) -> Iterator[str]:
    """Lines of the table, over the number of search trials that each way is given (``counts``)."""
    yield "| search | trials | test smooth score | test HM | most lost to the middle | core s a cell |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: |"
    expectations = {(row.network, row.setting): expected(rows, row) for row in rows}
    middle = {row.network: row for row in rows if row.setting == 0}

    def mean(chosen: Sequence[Row], column: int) -> float:
        """Of what the rows can expect: smooth score (column 0) or HM (1)."""
        return statistics.fmean(expectations[row.network, row.setting][column] for row in chosen)

    best = [max((row for row in rows if row.network == name), key=lambda row: mean([row], 0)) for name in middle]
    start = list(middle.values())
    yield f"| the best of the table | | {mean(best, 0):.3f} | {mean(best, 1):.3f} | | |"
    seconds = statistics.fmean(row.seconds for row in start)
    yield f"| the middle alone | 1 | {mean(start, 0):.3f} | {mean(start, 1):.3f} | 0 | {seconds:.1f} |"
    for count in counts:
        for name, way in WAYS.items():
            found = [searched(rows, way, count, seed) for seed in range(seeds)]
            columns = []
            for column in (0, 1):
                values = [mean(chosen, column) for chosen, _ in found]
                half = 1.96 * statistics.stdev(values) / math.sqrt(seeds) if seeds > 1 else math.nan
                columns.append(f"{statistics.fmean(values):.3f} ± {half:.3f}")
            confirmed = [row for chosen, _ in found for row in chosen]
            lost = max(
                mean([row], 0) - mean([each for each in confirmed if each.network == network], 0)
                for network, row in middle.items()
            )
            seconds = statistics.fmean(spent for _, spent in found)
            yield f"| {name} | {count * way.factor} | {' | '.join(columns)} | {lost:.3f} | {seconds:.1f} |"


def main(arguments: list[str] | None = None) -> int:
    """``python -m benchmarks.search.replay``; 2 where there is no table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.search.replay",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--trials", nargs="+", type=int, default=[3, 8], help="search trials a cell")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--networks", nargs="+", metavar="NAME", help="of the table; default: all")
    parser.add_argument("--settings", type=int, help="the table's first so many; default: all")
    parser.add_argument("--table", type=Path, default=TABLE, metavar="FILE.csv")
    options = parser.parse_args(arguments)
    rows = read(options.table, options.networks, options.settings)
    whole = {row.setting for row in rows}
    for name in {row.network for row in rows}:
        whole &= {row.setting for row in rows if row.network == name}
    rows = [row for row in rows if row.setting in whole]  # of the last setting, networks may be missing
    if len(whole) < 2 * max(options.trials):
        print(
            f"{options.table}: {len(whole)} settings of all networks; run python -m benchmarks.search.truth",
            file=sys.stderr,
        )
        return 2
    one_thread()
    for line in lines(rows, options.trials, options.seeds):
        print(line, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

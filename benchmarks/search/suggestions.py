"""CPU time that a suggestion of the shared model costs a driver: python -m benchmarks.search.suggestions 1000 10000

A ledger in memory has ten trials a cell, seven of them searched; the model is asked for the next trial of some cells,
after a first time in which it fits its lengths, as it does whenever there is a quarter more to learn from. Exit status
1 where the median is over 0.1 s.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from pathlib import Path

from benchmarks.measure import one_thread, seconds
from ledger.ledger import Ledger
from ledger.trial import Trial
from sldd.rng import stream
from study.config.search_settings import SearchSettings
from study.grid.axes import Cell
from study.grid.spec import TrialSpec
from study.search.sampler import search_space
from study.search.shared_model import SharedModel

_A_CELL, _SEARCHED = 10, 7
_ASKED = 9
_TARGET = 0.1


def finished(trials: int) -> tuple[Ledger, list[tuple[Cell, int]]]:
    """A ledger of finished trials, scored by chance, and its cells with the parameters of their networks."""
    cells = [
        Cell(f"resnet{n % 40 + 10}", "sldd", "as_is", n // 40 + 1, "one_hot", 1, 1) for n in range(trials // _A_CELL)
    ]
    ledger, random = Ledger(Path()), stream(0, "suggestions")
    for number in range(trials):
        cell = cells[number % len(cells)]
        group = ledger.trials.setdefault(cell.name, [])
        rates = float(0.01 * 10 ** random.uniform()), float(0.005 * 16 ** random.uniform())
        spec = TrialSpec(cell, "search" if len(group) < _SEARCHED else "confirm", 0, *rates, score="smooth")
        score = dict.fromkeys(("hm", "auc", "patch_accuracy"), float(random.uniform()))
        result = {"status": "done", "validation": score, "finished": f"{number:09}", "seconds": 1.0}
        group.append(Trial(Path(), spec.to_json() | {"cell": cell.name, "index": len(group)}, result))
    return ledger, [(cell, 10**5 + number) for number, cell in enumerate(cells)]


def costs(trials: int) -> tuple[float, list[float]]:
    """CPU seconds of the first suggestion, which reads and fits, and of others."""
    ledger, cells = finished(trials)
    space = search_space(SearchSettings(), "sldd", fixed_delta=False)
    model = SharedModel(ledger, cells)

    def ask(number: int) -> float:
        cell, _ = cells[number * len(cells) // (_ASKED + 1)]
        return seconds(lambda: model.suggest(f"0/{cell.name}/{_SEARCHED}", cell, space))

    return ask(0), [ask(number) for number in range(1, _ASKED + 1)]


def main(arguments: list[str] | None = None) -> int:
    """``python -m benchmarks.search.suggestions``."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.search.suggestions",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("trials", nargs="+", type=int, help="of each study, ten a cell")
    options = parser.parse_args(arguments)
    one_thread()
    missed = False
    print("| trials | first, ms | median, ms | worst, ms |\n| ---: | ---: | ---: | ---: |")
    for trials in options.trials:
        first, others = costs(trials)
        median = statistics.median(others)
        missed |= median > _TARGET
        figures = " | ".join(f"{1000 * value:.0f}" for value in (first, median, max(others)))
        print(f"| {trials:,} | {figures} |", flush=True)
    print(f"\ntarget: a median of {1000 * _TARGET:.0f} ms{', MISSED' if missed else ''}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())

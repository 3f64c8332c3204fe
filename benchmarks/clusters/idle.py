"""Share of time that simulated workers idle, by how many search trials of a cell run at a time.

    python -m benchmarks.clusters.idle                     # the demo's grid, 100 workers
    python -m benchmarks.clusters.idle --workers 12 --settings search.trials=8

Trials pass through the search and the ledger of a study as real ones do; a worker holds one for a time drawn around its
network's (an SD of a fifth), and scores are drawn as well. Printed are the time from the first trial to the last, in
those of a trial, and the share of the workers' time in which they had none.
"""

from __future__ import annotations

import argparse
import heapq
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from ray.tune.search import Searcher

from ledger.ledger import FORMAT, Ledger
from ledger.trial_folder import TrialFolder
from sldd.rng import stream
from study.config.cells import cells
from study.config.loader import load
from study.search.cell_search import CellSearch
from study.search.tune_searcher import StudySearcher


def drive(settings: Sequence[str], workers: int) -> tuple[float, float, int]:
    """Time that a study takes, share that its workers idle, and its trials."""
    config = load("demo", ["search.trials=1", "search.sampler=random", *settings])
    with tempfile.TemporaryDirectory() as folder:
        ledger = Ledger(Path(folder))
        ledger.hold()
        ledger.start({"format": FORMAT, "name": "idle", "config": {}, "provenance": {}})
        searcher = StudySearcher(
            [
                CellSearch(cell, config.search, config.confirm, ledger, seed=config.seed)
                for cell in cells(config.grid, config.confirm.folds, config.task)
            ],
            ledger,
        )
        now, busy, number = 0.0, 0.0, 0
        running: list[tuple[float, str]] = []
        while True:
            asked = searcher.suggest(f"{number}") if len(running) < workers else None
            if isinstance(asked, dict):
                random = stream(config.seed, asked["trial"])
                lasts = max(0.2, float(random.normal(1, 0.2)))
                score = dict.fromkeys(("hm", "auc", "patch_accuracy"), float(random.uniform()))
                result = {"status": "done", "delta": 0.5, "validation": score, "test": score, "seconds": lasts}
                TrialFolder(Path(asked["folder"]), asked["owner"]).finish(result)
                heapq.heappush(running, (now + lasts, f"{number}"))
                busy, number = busy + lasts, number + 1
                continue
            if not running:
                assert asked == Searcher.FINISHED
                break
            now, ended = heapq.heappop(running)
            searcher.on_trial_complete(ended)
        ledger.close()
    return now, 1 - busy / (now * workers), number


def main(arguments: list[str] | None = None) -> int:
    """``python -m benchmarks.clusters.idle``."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.clusters.idle",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--workers", type=int, default=100)
    parser.add_argument("--parallel", nargs="+", type=int, default=[1, 2, 4, 8])
    parser.add_argument("--settings", nargs="*", default=[], metavar="KEY=VALUE")
    options = parser.parse_args(arguments)
    print("| parallel | trials | time | idle |\n| ---: | ---: | ---: | ---: |")
    for parallel in options.parallel:
        time, idle, trials = drive([*options.settings, f"search.parallel={parallel}"], options.workers)
        print(f"| {parallel} | {trials} | {time:.1f} | {idle:.0%} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Measure every promised ratio and compare it with its target.

    python -m benchmarks                           # all; about 25 minutes on one core
    python -m benchmarks steps                     # outer steps and memory of the unroll
    python -m benchmarks steps --peer DIR          # and ssnl/dataset-distillation's beside ours, from a checkout
    python -m benchmarks scoring                   # of a demo trial
    python -m benchmarks reading                   # cropping, scoring, memory of a worker
    python -m benchmarks features                  # trials through the last layer that find features kept
    python -m benchmarks.gpu                       # every CUDA path on one GPU, within eight minutes
    python -m benchmarks.distillation.digits       # ten digits instead of eight thousand
    python -m benchmarks.distillation.race         # against the two peers in equal core seconds, from checkouts
    python -m benchmarks.distillation.lungs        # three images against all patches, on films
    python -m benchmarks.folds DIR                 # how well folds of patients share findings out
    python -m benchmarks.search.simulated          # what samplers confirm, on simulated cells
    python -m benchmarks.search.truth              # what a dense table of rates scores, on eight real networks
    python -m benchmarks.search.replay             # what searches reach on that table
    python -m benchmarks.search.suggestions 10000  # what a suggestion of the shared model costs a driver
    python -m benchmarks.clusters.idle             # how many workers a study keeps busy, simulated
    python -m benchmarks.leads                     # how often intervals of partial correlations hold the truth
    python -m benchmarks.statistics                # coverage, level and power of a study's statistics, simulated

Run it on a machine that does nothing else. Exit status 1 where a target is missed.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks.measure import one_thread
from benchmarks.peers import check_peer
from benchmarks.speed import features, reading, scoring, steps
from sldd.errors import InputError

PARTS = {
    "steps": steps.figures,
    "reading": reading.figures,
    "features": features.figures,
    "scoring": scoring.figures,
}


def main(arguments: list[str] | None = None) -> int:
    """``python -m benchmarks``."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], metavar="PART", help=", ".join(PARTS))
    parser.add_argument(
        "--peer", type=Path, metavar="DIR", help="checkout of ssnl/dataset-distillation, run beside ours"
    )
    options = parser.parse_args(arguments)
    try:
        check_peer(options.peer)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    one_thread()
    missed = 0
    for part in options.parts or PARTS:
        for figure in steps.figures(options.peer) if part == "steps" else PARTS[part]():
            missed += not figure.reached
            verdict = "" if figure.reached else "  MISSED"
            print(
                f"{figure.name:<72} {figure.value:7.2f} {figure.unit:<3} target {figure.target:g}{verdict}", flush=True
            )
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())

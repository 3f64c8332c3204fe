"""Measure every promised ratio and compare it with its target.

    python -m benchmarks                # all; about 25 minutes on one core
    python -m benchmarks steps          # outer steps and memory of the unroll
    python -m benchmarks reading        # cropping, scoring, memory of a worker
    python -m benchmarks features       # trials through the last layer that find features kept
    python -m benchmarks.digits         # ten digits instead of eight thousand
    python -m benchmarks.lungs          # three images against all patches, on films
    python -m benchmarks.folds DIR      # how well folds of patients share findings out
    python -m benchmarks.search         # what samplers confirm, on simulated cells
    python -m benchmarks.statistics     # coverage, level and power of a study's statistics, simulated

Run it on a machine that does nothing else. Exit status 1 where a target is missed.
"""

from __future__ import annotations

import argparse
import sys

from benchmarks import features, reading, steps
from benchmarks.measure import one_thread

PARTS = {"steps": steps.figures, "reading": reading.figures, "features": features.figures}


def main(arguments: list[str] | None = None) -> int:
    """``python -m benchmarks``."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], metavar="PART", help=", ".join(PARTS))
    options = parser.parse_args(arguments)
    one_thread()
    missed = 0
    for part in options.parts or PARTS:
        for figure in PARTS[part]():
            missed += not figure.reached
            verdict = "" if figure.reached else "  MISSED"
            print(
                f"{figure.name:<72} {figure.value:7.2f} {figure.unit:<3} target {figure.target:g}{verdict}", flush=True
            )
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())

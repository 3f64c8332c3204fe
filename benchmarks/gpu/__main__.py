"""Prove and measure every CUDA path on one GPU, in at most eight minutes: one table, and one JSON file.

    python -m benchmarks.gpu --out gpu.json
    python -m benchmarks.gpu packages resume            # some sections
    python -m benchmarks.gpu --device cpu --quick       # does the script itself run? seconds, on any machine

A section that fails says so in its row, and the others go on; what there is no time for is named. Exit status 1 where a
section failed or something did not hold.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import torch

from benchmarks.gpu import agreement, sharing, steps
from benchmarks.gpu.bench import Bench, Row
from sldd.training.compute import ComputeSettings

SECTIONS: dict[str, Callable[[Bench], Iterator[Row]]] = {
    "packages": agreement.packages,
    "resume": agreement.resume,
    "too_large": agreement.too_large,
    "steps": steps.outer_steps,
    "kernels": sharing.kernels,
    "graphs": steps.graphs,
    "prefetch": sharing.prefetch,
    "streams": sharing.streams,
    "processes": sharing.processes,
    "memory": steps.memory,
    "tests": agreement.tests,
}
"""In this order, so that what matters most is there when time runs out."""


def rows(bench: Bench, names: list[str], seconds: float) -> Iterator[tuple[str, Row]]:
    """Section and row, as they come, for so long."""
    deadline = time.monotonic() + seconds
    for name in names:
        if time.monotonic() > deadline:
            yield name, Row("left out", "out of time")
            continue
        try:
            for row in SECTIONS[name](bench):
                yield name, row
                if time.monotonic() > deadline:
                    yield name, Row("the rest", "out of time")
                    break
        except Exception as error:  # the next section may still tell something
            reason = next(iter(str(error).splitlines()), "")
            yield name, Row("failed", f"{type(error).__name__}: {reason}", "", False)
        if bench.cuda:
            torch.cuda.empty_cache()


def main(arguments: list[str] | None = None) -> int:
    """``python -m benchmarks.gpu``."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sections", nargs="*", choices=[*SECTIONS, []], metavar="SECTION", help=", ".join(SECTIONS))
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--quick", action="store_true", help="tiny networks, few repeats")
    parser.add_argument("--seconds", type=float, default=450.0, help="after which no further row is begun")
    parser.add_argument("--out", type=Path, metavar="FILE", help="the rows as JSON")
    options = parser.parse_args(arguments)
    if options.device == "cuda" and not torch.cuda.is_available():
        print(f"benchmarks.gpu: PyTorch {torch.__version__} finds no GPU here; --device cpu --quick", file=sys.stderr)
        return 2
    warnings.simplefilter("ignore", UserWarning)  # of operations that are not deterministic everywhere
    bench = Bench(torch.device(options.device), options.quick)
    ComputeSettings().apply(torch.get_num_threads())
    about = bench.describe()
    print(", ".join(f"{key} {value}" for key, value in about.items() if value is not None))
    print("| section | what | | |\n| --- | --- | ---: | --- |")
    found = []
    for section, row in rows(bench, options.sections or list(SECTIONS), options.seconds):
        found.append({"section": section, **asdict(row)})
        value = row.value if isinstance(row.value, str) else f"{row.value:.4g}"
        verdict = "" if row.held is None else "" if row.held else " **missed**"
        print(f"| {section} | {row.what} | {value} | {row.unit}{verdict} |", flush=True)
    if options.out is not None:
        options.out.write_text(json.dumps({"about": about, "rows": found}, indent=1) + "\n")
    return 1 if any(row["held"] is False for row in found) else 0


if __name__ == "__main__":
    sys.exit(main())

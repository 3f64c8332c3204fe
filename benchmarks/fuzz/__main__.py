"""Fuzz every reader, and count the outcomes.

    python -m benchmarks.fuzz --inputs 100000                 # all readers, shared out by how much there is to spoil
    python -m benchmarks.fuzz dicom raster --inputs 20000
    python -m benchmarks.fuzz dicom --first 712 --inputs 1 --keep found

An input must be read or refused with one line, within 2 s of processor time (a page, which is drawn: 20 s) and 1 GiB
more memory than before, and nothing may be opened, written, run or called outside the folder that it lies in. Exit
status 1 where one is not. The same inputs come up under the same --seed, whatever the other readers do.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import torch

from benchmarks.fuzz import arrays, films, ledgers, packages, tables, yaml_files
from benchmarks.fuzz.guard import Reader, Tally, attack

READERS = {
    reader.name: reader for room in (packages, films, arrays, tables, yaml_files, ledgers) for reader in room.READERS
}
_BAD = ("crashed", "hung", "memory", "outside")
HEADER = """\
| reader | inputs | refused | read | crashed | hung | over 1 GiB | outside | slowest, s | most MiB |
|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|"""


def main(arguments: list[str] | None = None) -> int:
    """``python -m benchmarks.fuzz``."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.fuzz", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("readers", nargs="*", choices=[*READERS, []], metavar="READER", help=", ".join(READERS))
    parser.add_argument("--inputs", type=int, default=10_000, help="of all readers together (default: 10000)")
    parser.add_argument("--first", type=int, default=0, help="number of the first input of each reader (default: 0)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder for inputs that were neither read nor refused")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    started = time.monotonic()
    print(HEADER, flush=True)
    tallies = {}
    for reader, count in shared_out([READERS[name] for name in options.readers or READERS], options.inputs):
        numbers = range(options.first, options.first + count)
        tallies[reader.name] = tally = attack(reader, numbers, options.seed, options.keep)
        for words, where in tally.first.items():
            print(f"{reader.name}: {words} ({where})", file=sys.stderr, flush=True)
        print(row(reader.name, tally), flush=True)
    total = sum(tally.inputs for tally in tallies.values())
    print(f"\n{total:,} inputs, seed {options.seed}, in {(time.monotonic() - started) / 60:.1f} minutes.")
    return 1 if any(tally.bad for tally in tallies.values()) else 0


def shared_out(readers: list[Reader], inputs: int) -> Iterable[tuple[Reader, int]]:
    """So many inputs for each reader, by its share, and in all as many as asked for or a few more."""
    shares = sum(reader.share for reader in readers)
    return [(reader, -(-inputs * reader.share // shares)) for reader in readers]


def row(name: str, tally: Tally) -> str:
    """A reader's line of the Markdown table that ``HEADER`` begins."""
    counts = [tally.counts[kind] for kind in ("refused", "read", *_BAD)]
    numbers = " | ".join(f"{count:,}" for count in (tally.inputs, *counts))
    return f"| {name} | {numbers} | {tally.seconds:.2f} | {tally.memory / 2**20:,.0f} |"


if __name__ == "__main__":
    sys.exit(main())

"""Scores of real distillations on a dense table of rates, which searches are replayed on: ``truth.csv`` beside this.

    python -m benchmarks.search.truth              # goes on with the table; 15,300 core seconds
    python -m benchmarks.search.truth --settings 32 --out FILE.csv
    python -m benchmarks.search.truth --correlations    # what of a table's scores says something of the others

Eight networks of 20 thousand to 5 million parameters, with batch or instance norm, from the near-linear start and
through all weights, learn three images from phantom patients (difficulty 0.5), at Sobol points of outer and inner rate;
the ranges are wider than those of a study, so that a part of the table is one. In three to eighteen seconds on one core
some learn and others begin to; of networks that do not leave the plateau where patients look alike, no setting would be
better than another. ``truth_head.csv`` is of an earlier design: Xavier's weights, and only the last layer changed in
the inner step.
Patches are 48 of 256 pixels, shown at 32. All settings of a network have the same patients, start, images and batches.
A row has what a search may see, scores on validation patients, of the whole run and of its best state after a quarter
and half of the steps, and what it may not: scores on test patients, at the threshold that validation patients chose.
Rows go setting by setting, so that a table that was interrupted is a smaller one; the same command goes on.
"""

from __future__ import annotations

import argparse
import csv
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import cache
from pathlib import Path

import torch
from scipy.stats import qmc, spearmanr

from benchmarks.measure import one_thread
from sldd.backbones.registry import build, parameter_count
from sldd.backbones.start import NEAR_LINEAR, set_start
from sldd.data.cohort import default_cache, prepare
from sldd.data.patches import Patches, PatchSettings
from sldd.data.settings import DataSettings, open_source
from sldd.data.split import Split, SplitSettings, split_patients
from sldd.distillation.distill import Distillation
from sldd.distillation.initial.images import noise_images
from sldd.distillation.initial.labels import initial_labels
from sldd.errors import InputError
from sldd.io.atomic_file import check_output
from sldd.metrics.patient_evaluator import PatientScores
from sldd.metrics.patient_votes import choose_threshold, operate
from sldd.pipeline.task_data import PatchData
from sldd.sources.phantom import PhantomSettings
from sldd.training.outer_loop import DivergedError, OuterLoop
from sldd.training.outer_settings import OuterSettings

TABLE = Path(__file__).with_name("truth.csv")
NETWORKS = {
    "test_resnet": 100,
    "paper/resnet18/8:batch": 200,
    "test_efficientnet": 200,
    "resnet10t": 48,
    "paper/vgg16/8:batch": 120,
    "convnet_w32": 300,
    "convnet_w64": 160,
    "test_byobnet": 120,
}
"""Outer steps by network, multiples of four; after a colon, its norm. A table does not keep them: who changes them
begins another."""
OUTER, INNER = (0.005, 0.2), (0.0025, 0.16)
"""Ranges of the rates, around the middle of a study's."""
SETTINGS = 200
_SIDE = 32
_TRAIN, _VALIDATION, _TEST = 64, 16, 80
"""Patients."""


@dataclass(frozen=True)
class Row:
    """A distillation of the table.

    Attributes:
        setting: number of the Sobol point.
        outer_lr, inner_lr: its rates.
        seconds: of the CPU, scoring on test patients left out.
        quarter, half, smooth: mean of patient AUC and balanced patch accuracy of the best state by then, on validation
            patients; 0 where it diverged before.
        headline: HM on validation patients.
        test_smooth, test_hm, test_auc, test_accuracy: of that state, on test patients.
    """

    network: str
    parameters: int
    setting: int
    outer_lr: float
    inner_lr: float
    seconds: float
    quarter: float
    half: float
    smooth: float
    headline: float
    test_smooth: float = 0.0
    test_hm: float = 0.0
    test_auc: float = 0.0
    test_accuracy: float = 0.0


def settings(count: int) -> list[tuple[float, float]]:
    """Outer and inner rate of each; the first is the middle of both ranges, the others are Sobol points."""

    def rate(unit: float, low: float, high: float) -> float:
        return low * (high / low) ** unit

    units = [(0.5, 0.5), *qmc.Sobol(2, seed=0).random_base2(10).tolist()]
    return [(rate(a, *OUTER), rate(b, *INNER)) for a, b in units[:count]]


@cache
def _patients() -> tuple[Patches, Split]:
    """Patches and split of the phantom patients, the same for all rows."""
    patients = _TRAIN + _VALIDATION + _TEST
    shares = SplitSettings(validation=_VALIDATION / patients, test=_TEST / patients)
    data = DataSettings(phantom=PhantomSettings(patients=patients, difficulty=0.5), split=shares)
    cohort = prepare(open_source(data), default_cache())
    split = split_patients(cohort, data.split)
    windows = PatchSettings(size=48, stride=8, score_stride=40, input_size=_SIDE)
    return Patches(cohort, windows, *cohort.intensity(split.train)), split


def distil(name: str, setting: int, outer_lr: float, inner_lr: float) -> Row:
    """Row of one distillation.

    Args:
        name: of ``NETWORKS``.
        setting: number of the Sobol point that has these rates.
    """
    patches, split = _patients()
    backbone, _, norm = name.partition(":")
    network = build(backbone, norm=norm or "as_is", input_size=_SIDE)
    set_start(network, backbone=backbone, start=NEAR_LINEAR, seed=0)
    images = noise_images(steps=1, images=3, side=_SIDE, seed=0)
    cpu = torch.device("cpu")
    learner = Distillation(network, images, initial_labels("one_hot", 3), inner_lr=inner_lr, seed=0, device=cpu)
    outer = OuterSettings(steps=NETWORKS[name], batch_size=24, evaluations=4, statistics_batches=2)
    drawn = PatchData(patches, split)
    loop = OuterLoop(learner, drawn.evaluator(), drawn.batches, split, outer, rate=outer_lr, seed=0, device=cpu)
    begun = time.process_time()
    quarter, half, _, smooth = _best_by_quarter(loop, outer.steps)
    seconds = time.process_time() - begun
    row = Row(
        name, parameter_count(network), setting, outer_lr, inner_lr, seconds, quarter, half, smooth, headline=0.0
    )  # fmt: skip
    if loop.best is None or smooth == 0.0:
        return row
    validation, test = loop.score(split.validation), loop.score(split.test)
    assert isinstance(validation, PatientScores)
    assert isinstance(test, PatientScores)
    headline, delta = choose_threshold(validation.votes)
    return replace(
        row,
        headline=headline,
        test_smooth=test.key[0],
        test_hm=operate(test.votes, delta).hm or 0.0,
        test_auc=test.votes.auc or 0.0,
        test_accuracy=test.votes.patch_accuracy or 0.0,
    )


def _best_by_quarter(loop: OuterLoop, steps: int) -> list[float]:
    """Run a loop to its end: the smooth score of the best state after each quarter of its steps; 0 from where it
    diverges."""
    reached: list[float] = []
    try:
        while not loop.finished:
            loop.advance()
            if loop.progress.step * 4 % steps == 0:
                reached.append(loop.best.key[0] if loop.best else 0.0)
    except DivergedError:
        reached += [0.0] * (4 - len(reached))
    finally:
        loop.close()
    return reached


def read(path: Path = TABLE, networks: Sequence[str] | None = None, count: int | None = None) -> list[Row]:
    """Rows of a table, in the order in which they were measured; none where there is no such file.

    Args:
        networks: those whose rows are wanted; all of the table unless given.
        count: only the first so many settings.
    """
    if not path.exists():
        return []
    of_type = {"str": str, "int": int, "float": float}  # annotations are words (from __future__ import annotations)
    columns = {column.name: of_type[str(column.type)] for column in fields(Row)}
    with path.open(newline="") as file:
        rows = [Row(**{name: kind(line[name]) for name, kind in columns.items()}) for line in csv.DictReader(file)]
    if networks is not None:
        rows = [row for row in rows if row.network in networks]
    return [row for row in rows if count is None or row.setting < count]


def measure(path: Path, networks: Sequence[str], count: int) -> Iterator[Row]:
    """Measure what a table lacks, and write each row as it comes.

    Raises:
        InputError: it cannot be written, or has rows of other rates under the same numbers.
    """
    check_output(path)
    rates, there = settings(count), read(path, networks, count)
    for row in there:
        if (row.outer_lr, row.inner_lr) != tuple(float(f"{rate:.4g}") for rate in rates[row.setting]):
            raise InputError(
                f"{path}: setting {row.setting} of {row.network} has rates {row.outer_lr:g} and {row.inner_lr:g}, "
                f"which are {rates[row.setting][0]:.4g} and {rates[row.setting][1]:.4g} here; choose another --out"
            )
    had = {(row.network, row.setting) for row in there}
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, [each.name for each in fields(Row)])
        if not file.tell():
            writer.writeheader()
        for number, (outer_lr, inner_lr) in enumerate(rates):
            for name in networks:
                if (name, number) not in had:
                    row = distil(name, number, outer_lr, inner_lr)
                    writer.writerow({k: f"{v:.4g}" if isinstance(v, float) else v for k, v in asdict(row).items()})
                    file.flush()
                    yield row


PAIRS = (
    ("smooth", "test_hm"),
    ("headline", "test_hm"),
    ("smooth", "test_smooth"),
    ("headline", "test_smooth"),
    ("quarter", "smooth"),
    ("half", "smooth"),
)
"""What is known of a trial, and what one would like to know."""


def correlations(rows: Sequence[Row]) -> Iterator[str]:
    """Lines of a table: rank correlations (Spearman) over the settings of each network, and their mean."""
    yield "| network | settings | " + " | ".join(f"{one}, {other}" for one, other in PAIRS) + " |"
    yield "| --- | ---: |" + " ---: |" * len(PAIRS)
    found = []
    for name in dict.fromkeys(row.network for row in rows):
        group = [row for row in rows if row.network == name]
        found.append([
            float(spearmanr([getattr(row, one) for row in group], [getattr(row, other) for row in group]).statistic)
            for one, other in PAIRS
        ])  # fmt: skip
        yield f"| {name} | {len(group)} | " + " | ".join(f"{value:.2f}" for value in found[-1]) + " |"
    means = [sum(column) / len(column) for column in zip(*found, strict=True)]
    yield "| mean | | " + " | ".join(f"{value:.2f}" for value in means) + " |"


def main(arguments: list[str] | None = None) -> int:
    """``python -m benchmarks.search.truth``."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.search.truth",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--networks", nargs="+", choices=list(NETWORKS), default=list(NETWORKS), metavar="NAME")
    parser.add_argument("--settings", type=int, default=SETTINGS)
    parser.add_argument("--out", type=Path, default=TABLE, metavar="FILE.csv")
    parser.add_argument("--correlations", action="store_true", help="print them, and measure nothing")
    options = parser.parse_args(arguments)
    if options.correlations:
        print("\n".join(correlations(read(options.out, options.networks, options.settings))))
        return 0
    one_thread()
    try:
        for row in measure(options.out, options.networks, options.settings):
            rates = f"{row.outer_lr:.3f} {row.inner_lr:.4f}"
            reached = f"{row.quarter:.3f} {row.half:.3f} {row.smooth:.3f} {row.test_smooth:.3f} HM {row.test_hm:.2f}"
            print(f"{row.setting:4} {row.network:<22} {rates} {reached} {row.seconds:.1f} s", flush=True)
    except InputError as error:
        print(f"benchmarks.search.truth: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

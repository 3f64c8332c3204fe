"""What the trials of a study share: its settings, and on each node its cohort, opened once and read in place."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from analysis.storage import Folder
from sldd.cohort import Cohort, open_cohort, prepare
from sldd.compute import ComputeSettings
from sldd.data import DataSettings, open_source
from sldd.distill import DistillSettings
from sldd.errors import InputError
from sldd.outer import OuterSettings
from sldd.patches import BalancedBatches, Patches, PatchSettings
from sldd.split import Split
from sldd.train import TrainSettings
from study.protocol import Protocol, divide


@dataclass(frozen=True)
class TrialContext:
    """What all trials of a study share."""

    data: DataSettings
    cache: Path
    cohort_folder: Path
    fingerprint: str
    patches: PatchSettings
    distill: DistillSettings
    outer: OuterSettings
    train: TrainSettings
    compute: ComputeSettings
    protocol: Protocol
    folds: int | None
    pretrained: dict[str, str]
    pseudonyms: list[str]
    threads: int
    gpus: float
    retries: int
    stop_path: Folder


def materials(context: TrialContext, fold: int | None) -> tuple[Patches, Split, BalancedBatches]:
    """The patches of the cohort, the patients' parts and the training batches, of a fold where folds rotate.

    Raises:
        InputError: the cohort on this node is not the study's.
    """
    return _materials(
        (context.cohort_folder, context.fingerprint),
        context.data,
        context.cache,
        context.patches,
        context.protocol,
        context.folds,
        fold,
    )


@lru_cache(maxsize=1)
def _cohort(folder: tuple[Path, str], data: DataSettings, cache: Path) -> Cohort:
    path, expected = folder
    # The driver decoded the cohort on its own machine; every other node does so once, for itself.
    cohort = open_cohort(path) if path.is_dir() else prepare(open_source(data), cache)
    if cohort.fingerprint != expected:
        raise InputError("data: the cohort on this node differs from the one that the study began with")
    return cohort


@lru_cache(maxsize=2)  # the folds of a cell take turns, two at a time where a machine runs two trials
def _materials(
    folder: tuple[Path, str],
    data: DataSettings,
    cache: Path,
    settings: PatchSettings,
    protocol: Protocol,
    folds: int | None,
    fold: int | None,
) -> tuple[Patches, Split, BalancedBatches]:
    """Kept between the trials of a worker: the windows of a large cohort take seconds to find."""
    cohort = _cohort(folder, data, cache)
    split = divide(cohort, data.split, protocol, folds, fold)
    patches = Patches(cohort, settings, *cohort.intensity(split.train))
    return patches, split, BalancedBatches(patches, split.train)

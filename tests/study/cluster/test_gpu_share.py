"""Trials share a GPU once their cell has shown that they fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ledger.ledger import Ledger
from ledger.trial import Trial
from study.cluster.gpu_share import GpuShares
from study.cluster.ray_cluster import Slots
from study.config.resource_settings import ResourceSettings


def _share(peak: float | None, status: str = "done", **settings: Any) -> float:
    """Of a second trial, after a first that took so many MiB of a GPU of 24 GiB."""
    ledger, gpus = Ledger(Path()), settings.get("gpus_per_trial", 1.0)
    first, second = (Trial(Path(), {"cell": "a", "index": index}) for index in range(2))
    ledger.trials["a"] = [first, second]
    if peak is not None:
        first.result = {"status": status, "peak_memory_mib": peak, "device_memory_mib": 24 * 1024.0}
    return GpuShares(ResourceSettings(**settings), Slots(1, 1.0 if gpus == "auto" else gpus, 4), ledger).of(second)


@pytest.mark.parametrize(
    ("peak", "share"), [(None, 1), (20000, 1), (8000, 1 / 2), (6000, 1 / 2), (5000, 1 / 3), (900, 1 / 4)]
)
def test_what_fits_shares(peak: float | None, share: float) -> None:
    assert _share(peak) == share


def test_what_is_given_is_kept_to() -> None:
    assert _share(100.0, gpus_per_trial=0.5) == 0.5
    assert _share(100.0, trials_per_gpu=1) == 1.0
    assert _share(100.0, gpus_per_trial=0) == 0


def test_what_did_not_come_to_its_end_shows_no_peak() -> None:
    assert _share(900.0, "failed") == 1.0


def test_the_largest_of_a_cells_trials_decides() -> None:
    ledger = Ledger(Path())
    for index, peak in enumerate((500.0, 9000.0, 500.0)):
        result = {"status": "done", "peak_memory_mib": peak, "device_memory_mib": 24 * 1024.0}
        ledger.trials.setdefault("a", []).append(Trial(Path(), {"cell": "a", "index": index}, result))
    trial = Trial(Path(), {"cell": "a", "index": 3})
    assert GpuShares(ResourceSettings(), Slots(1, 1.0, 4), ledger).of(trial) == 1.0 / 1

"""Shares of a GPU for trials, from the memory that finished trials of the same cell took."""

from __future__ import annotations

from ledger.ledger import Ledger
from ledger.trial import Trial
from study.cluster.ray_cluster import Slots
from study.config.resource_settings import ResourceSettings

_MARGIN = 1.3  # a trial's peak is not the same every time, and freed memory is fragmented
_CONTEXT_MIB = 1024.0  # what CUDA and its libraries take for every process, which PyTorch does not count


class GpuShares:
    """Assigns each trial its share of a GPU.

    A cell's first trials have a whole GPU each and measure their peak memory. Once one is done, later ones get a share
    that holds the largest peak of the cell, with a margin. ``resources.gpus_per_trial``, where set, decides instead.
    """

    def __init__(self, settings: ResourceSettings, slots: Slots, ledger: Ledger) -> None:
        self._unshared, self._ledger = slots.gpus, ledger
        self._most_on_one = settings.trials_per_gpu if settings.gpus_per_trial == "auto" else 1

    def of(self, trial: Trial) -> float:
        """GPUs for a trial: 1/n, where n trials like it fit on one GPU; else those of its slot."""
        if self._unshared != 1 or self._most_on_one == 1:
            return self._unshared
        done = [other.result or {} for other in self._ledger.trials[trial.cell] if other.status == "done"]
        fitting = [_fitting(result) for result in done if result.get("device_memory_mib")]
        return 1 / max(1, min(self._most_on_one, *fitting)) if fitting else 1.0


def _fitting(result: dict[str, float]) -> int:
    """How many trials like this one fit on a GPU like the one that it ran on: its memory over what each takes."""
    return int(result["device_memory_mib"] / (_MARGIN * result["peak_memory_mib"] + _CONTEXT_MIB))

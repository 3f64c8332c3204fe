"""Shares of a GPU for trials, from the memory that finished trials of their cell took."""

from __future__ import annotations

from ledger.ledger import Ledger
from ledger.trial import Trial
from study.cluster.ray_cluster import Slots
from study.config.resource_settings import ResourceSettings

_MARGIN = 1.3  # a trial's peak is not the same every time, and freed memory lies in pieces
_CONTEXT_MIB = 1024.0  # what CUDA and its libraries take for every process, which PyTorch does not count


class GpuShares:
    """Assigns each trial its share of a GPU.

    A cell's first trial has a whole one and measures; those after it get what it needed, with a margin.
    """

    def __init__(self, settings: ResourceSettings, slots: Slots, ledger: Ledger) -> None:
        self._whole, self._ledger = slots.gpus, ledger
        self._most = settings.trials_per_gpu if settings.gpus_per_trial == "auto" else 1

    def of(self, trial: Trial) -> float:
        """GPUs for a trial, such as 0.5; ``resources.gpus_per_trial``, where set, decides."""
        if self._whole != 1 or self._most == 1:
            return self._whole
        measured = [other.result or {} for other in self._ledger.trials[trial.cell] if other.status == "done"]
        fitting = [_fitting(result) for result in measured if result.get("device_memory_mib")]
        return 1 / max(1, min(self._most, *fitting)) if fitting else 1.0


def _fitting(result: dict[str, float]) -> int:
    """Trials like this one that fit on a GPU like the one it ran on."""
    return int(result["device_memory_mib"] / (_MARGIN * result["peak_memory_mib"] + _CONTEXT_MIB))

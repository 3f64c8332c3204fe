"""Kernel ridge regression on features (FRePo, Zhou et al. 2022), with learned labels, as published, or fixed ones."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import nn

from sldd.distillation.alternatives.kernel_ridge import KernelRidge
from sldd.training.outer_settings import OuterSettings
from study.config.methods.matching import Matched
from study.config.schema import StudyConfig
from study.config.tasks.base import TaskData
from study.grid.axes import Cell


@dataclass(frozen=True, kw_only=True)
class _FRePo(Matched):
    def memory(self, network: nn.Module, cell: Cell, config: StudyConfig, outer: OuterSettings, data: TaskData) -> int:
        """With a pool of networks, each with two moments."""
        weights = sum(parameter.nbytes for parameter in network.parameters())
        return super().memory(network, cell, config, outer, data) + 3 * config.match.pool * weights


FREPO = _FRePo(
    name="frepo",
    label="FRePo",
    learned=("images", "labels"),
    learns=KernelRidge,
    by_class=False,
    match_settings=("pool",),
)
FREPO_HARD = replace(FREPO, name="frepo_hard", label="FRePo, hard labels", learned=("images",))

"""Trajectory matching (Cazenavette et al. 2022), with fixed labels or learned ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from sldd.distillation.alternatives.experts import ExpertBuffer, experts_bytes
from sldd.distillation.alternatives.trajectories import TrajectoryMatching
from sldd.distillation.memory_estimate import needs
from sldd.errors import InputError
from sldd.training.learner import Learner
from sldd.training.outer_settings import OuterSettings
from study.config.methods.matching import Matched
from study.config.paths import feature_store
from study.config.schema import StudyConfig
from study.config.tasks.base import TaskData
from study.grid.axes import Cell


@dataclass(frozen=True, kw_only=True)
class _MTT(Matched):
    def refusal(self, cell: Cell, config: StudyConfig, data: TaskData) -> str | None:
        experts = config.match.experts
        if config.match.networks != "fresh":
            return f"{self.name} follows experts, which are drawn anew; set match.networks=fresh, or leave it out"
        if experts.latest + experts.span > experts.snapshots + 1:
            return (
                f"{self.name}: a student that begins at snapshot {experts.latest - 1} of an expert has no "
                f"{experts.span} after it; raise match.experts.snapshots to {experts.latest + experts.span - 1}"
            )
        return super().refusal(cell, config, data) or data.batch_refusal(experts.batch_size, "match.experts.batch_size")

    def timed(self, config: StudyConfig) -> StudyConfig:
        """With an expert that is no more than begun."""
        match = config.match
        shortest = replace(match.experts, count=1, snapshots=match.experts.span, latest=1, every=1)
        return replace(config, match=replace(match, experts=shortest))

    def timed_steps(self, cell: Cell) -> int:
        return cell.distill_steps or 0

    def memory(self, network: nn.Module, cell: Cell, config: StudyConfig, outer: OuterSettings, data: TaskData) -> int:
        """That of an unroll of as many steps as the student takes, or of an expert's training, and of all experts where
        no file keeps them.

        Raises:
            InputError: files are to keep them, and there is no room for all.
        """
        experts, room = experts_bytes(network, config.match.experts), config.resources.feature_cache
        if 0 < room * 2**30 < experts:
            raise InputError(
                f"{self.name}: {config.match.experts.count} experts of {cell.backbone} take {experts / 2**30:.3g} GiB, "
                f"and resources.feature_cache is {room:g}: they would be made again and again; raise it, or lower "
                "match.experts.count or match.experts.snapshots"
            )
        student = replace(cell, distill_epochs=config.match.experts.student_epochs)
        expert = needs(
            network,
            images=0,
            side=data.input.side,
            channels=data.input.channels,
            batch=config.match.experts.batch_size,
            compute=replace(config.compute, micro_batch=None),  # experts take their batches whole
            loss=data.loss,
        )
        return max(super().memory(network, student, config, outer, data), expert.training()) + (0 if room else experts)

    def beside(self, blank: nn.Module, data: TaskData, config: StudyConfig) -> dict[str, Any]:
        match, store = config.match, feature_store(config)
        return {"experts": ExpertBuffer(blank, data.batches, match.experts, store, augment=match.augment)}

    def lent(self, learner: Learner) -> Mapping[int, float]:
        assert isinstance(learner, TrajectoryMatching)
        return learner.experts.lent


MTT = _MTT(
    name="mtt",
    label="MTT",
    learned=("images",),
    learns=TrajectoryMatching,
    by_class=False,
    match_settings=("augment", "experts."),
)
MTT_SOFT = replace(MTT, name="mtt_soft", label="MTT, soft labels", learned=("images", "labels"))

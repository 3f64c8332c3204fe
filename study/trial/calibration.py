"""Membership attack on a package, calibrated by reference networks, and on ordinary training as its control."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import Any

import numpy as np
import torch

from sldd.data.split import Split
from sldd.privacy_attacks.group_test import GroupTest, MemberLabels, compare
from sldd.privacy_attacks.membership import calibrated
from sldd.privacy_attacks.report import FEWEST, Candidates
from study.trial.finished_study import Confirmed, OpenedStudy
from study.trial.reference_networks import FoldReferences, References, halves, made_anew


class Calibration:
    """Membership attacks on the packages of a study, calibrated by reference networks.

    Args:
        count: references that are made anew for each package (``halves``); 0 takes those of other folds (``folds``).
    """

    def __init__(self, study: OpenedStudy, count: int, device: torch.device) -> None:
        self._study, self._count, self._device = study, count, device
        self._folds = FoldReferences(study, device)
        self._controls: dict[str, dict[str, Any] | None] = {}

    def membership(self, trial: Confirmed, losses: np.ndarray, candidates: Candidates, split: Split) -> dict[str, Any]:
        """The report's ``membership`` on the (candidates,) ``losses`` of a package's network."""
        found: dict[str, Any] = {"raw": asdict(compare(-losses, candidates.groups, self._seed)), "calibrated": None}
        found["references"] = {"kind": None, "number": 0, "each": 0}
        references = self._anew(trial, candidates, split) if self._count else self._folds.of(trial, candidates)
        tested = None if references is None else self._tested(losses, references, candidates.groups)
        if references is not None and tested is not None:
            found["calibrated"] = asdict(tested[0])
            found["references"] = {"kind": references.kind, "number": len(references.losses), "each": tested[1]}
        found["control"] = self._control(trial, candidates, split) if self._count else None
        return found

    def _control(self, trial: Confirmed, candidates: Candidates, split: Split) -> dict[str, Any] | None:
        """The same attack on the network trained on the patients themselves: once for all packages of a network."""
        trained = self._study.training_beside(trial)
        if trained is None:
            return None
        if trained.name not in self._controls:
            losses = made_anew(trained, self._study.context, candidates, split.train, split, self._device)
            tested = self._tested(losses, self._anew(trained, candidates, split), candidates.groups)
            found = None if tested is None else {"trial": trained.name, "found": asdict(tested[0])}
            self._controls[trained.name] = found
        return self._controls[trained.name]

    def _anew(self, trial: Confirmed, candidates: Candidates, split: Split) -> References:
        return halves(
            trial,
            self._study.context,
            candidates,
            split,
            count=self._count,
            seed=self._seed,
            device=self._device,
            say=lambda words: print(words, file=sys.stderr, flush=True),
        )

    def _tested(self, losses: np.ndarray, references: References, groups: MemberLabels) -> tuple[GroupTest, int] | None:
        """The calibrated attack, and by how many references the least compared patient is calibrated; None where too
        few patients have any."""
        scores = calibrated(losses, references.losses, references.unseen)
        known = np.isfinite(scores)
        part = MemberLabels(groups.member[known], groups.labels[known])
        sides = [
            (part.member == member) & (part.labels == label) for member in (0, 1) for label in np.unique(groups.labels)
        ]
        if any(side.sum() < FEWEST for side in sides):
            return None
        return compare(scores[known], part, self._seed), int(references.unseen.sum(0)[known].min())

    @property
    def _seed(self) -> int:
        return self._study.config.seed

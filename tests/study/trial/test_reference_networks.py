"""Reference networks: who had a part in making each, and who is to be compared with it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from sldd.data.split import Split
from study.trial import reference_networks
from study.trial.reference_networks import halves


def test_a_patient_is_compared_with_the_networks_that_were_made_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[list[int]] = []

    def made_anew(_: object, __: object, candidates: Any, training: list[int], *___: object) -> np.ndarray:
        made.append(training)
        return np.full(len(candidates.patients), float(len(made)))

    monkeypatch.setattr(reference_networks, "made_anew", made_anew)
    split = Split(list(range(12)), [12, 13], list(range(14, 20)))
    labels = np.arange(20) % 2
    candidates: Any = SimpleNamespace(
        training=split.train[:10], held_out=split.test, patients=[*split.train[:10], *split.test],
        views=SimpleNamespace(labels=labels),
    )  # fmt: skip
    trial, none, said = SimpleNamespace(name="cell/1"), SimpleNamespace(), list[str]()
    device = torch.device("cpu")
    found: Any = halves(trial, none, candidates, split, count=4, seed=7, device=device, say=said.append)  # type: ignore
    assert len(made) == len(said) == len(found.losses) == 4
    assert found.losses[:, 0].tolist() == [1, 2, 3, 4]
    for half, unseen in zip(made, found.unseen, strict=True):
        assert [int(labels[half].sum()), len(half)] == [3, 6], "half of each label"
        assert [patient in half for patient in candidates.training] == (~unseen[:10]).tolist()
    for first, second in ((0, 1), (2, 3)):
        assert sorted(made[first] + made[second]) == split.train
        assert (found.unseen[first] ^ found.unseen[second]).all(), "each held-out patient with one of a pair"
    assert made[0] != made[2]

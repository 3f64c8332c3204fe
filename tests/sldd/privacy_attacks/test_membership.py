"""Membership inference by patient: the calibration, and a network that has learnt its patients by heart."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from sldd.backbones.init import initialise
from sldd.backbones.registry import build
from sldd.data.cohort import Cohort, prepare
from sldd.data.patches import BalancedBatches, Patches, PatchSettings
from sldd.data.split import SplitSettings, split_patients
from sldd.io.film import Film
from sldd.privacy_attacks.group_test import MemberLabels, area, compare
from sldd.privacy_attacks.membership import calibrated
from sldd.privacy_attacks.patient_losses import patient_features
from sldd.privacy_attacks.report import Candidates
from sldd.privacy_attacks.views import PatchViews
from sldd.rng import stream
from sldd.training.compute import ComputeSettings
from sldd.training.supervised import Training


def test_references_take_away_what_makes_patients_hard() -> None:
    random = np.random.default_rng(0)
    member = np.arange(40) < 20
    difficulty = 3 * random.standard_normal(40)
    losses = difficulty - 0.5 * member + 0.1 * random.standard_normal(40)
    references = difficulty + 0.1 * random.standard_normal((4, 40)) + np.array([[0], [7], [-2], [1]])
    unseen = np.tile([[True], [False], [True], [False]], (1, 40))
    found = calibrated(losses, references, unseen)
    assert area(-losses, member) < 0.75
    assert area(found, member) > 0.95
    assert calibrated(losses + 9, references, unseen) == pytest.approx(found)  # how good a network is says nothing


def test_a_reference_that_saw_a_patient_is_not_asked() -> None:
    losses, references = np.zeros(3), np.array([[1.0, 5.0, 0.0], [3.0, -5.0, 2.0]])
    unseen = np.array([[True, False, False], [True, True, False]])
    found = calibrated(losses, references, unseen)
    assert found[:2] == pytest.approx([1.0, -5.0])  # references are 0 on average over the patients
    assert np.isnan(found[2])


class _Noise:
    """Patients who are noise and whose labels mean nothing: what a network knows of them it has by heart."""

    classes: Sequence[str] = ()
    smallest_class = None

    def __init__(self, patients: int) -> None:
        self.patient_ids = [str(number) for number in range(patients)]
        self.films = [Film(number, number % 2, None, f"noise {number}") for number in range(patients)]

    def fingerprint(self) -> str:
        return f"noise of {len(self.films)}"

    def read(self, film: int) -> tuple[np.ndarray, np.ndarray]:
        mask = np.zeros((64, 64), bool)
        mask[:, 20:] = True
        return stream(film, "noise patient").integers(0, 255, (64, 64)).astype(np.uint8), mask


@pytest.fixture(scope="module")
def by_heart(tmp_path_factory: pytest.TempPathFactory) -> tuple[np.ndarray, MemberLabels]:
    """Losses of patients under a network that has trained on half of them for long."""
    cohort: Cohort = prepare(_Noise(24), tmp_path_factory.getbasetemp() / "cohorts")
    split = split_patients(cohort, SplitSettings(validation=0.1, test=0.45, seed=0))
    patches = Patches(cohort, PatchSettings(16, 16, None, 16), *cohort.intensity(split.train))
    candidates = Candidates(PatchViews(patches), split.train, split.test)
    batches = BalancedBatches(patches, split.train)
    network = build("lenet", input_size=16)
    initialise(network, 0)
    learner = Training(network, device=torch.device("cpu"), compute=ComputeSettings())
    for number in range(150):
        learner.step(*batches.draw(stream(0, "batch", number), 60), 3e-3)
    weights = learner.weights(learner.state())
    read = patient_features(
        lambda images: learner.forward(weights, images),
        network.eval(),
        candidates.views,
        candidates.patients,
        batch=64,
        device=torch.device("cpu"),
    )
    return read.losses, candidates.groups


def test_the_control_what_is_known_by_heart_is_found(by_heart: tuple[np.ndarray, MemberLabels]) -> None:
    losses, groups = by_heart
    found = compare(-losses, groups, 0)
    assert found.auc > 0.95
    assert found.tpr > 0.8
    assert found.p < 0.001


def test_networks_to_which_all_patients_are_alike_tell_nobody_apart() -> None:
    """Means over few patches and over many differ in the last digit, and calibration leaves nothing else."""
    counts = [346] * 10 + [269] * 10
    losses = [np.array([np.average([1.1] * count, weights=np.full(count, 1 / count)) for count in counts])]
    losses += [losses[0] + apart for apart in (0.02, 0.003, 1.2)]
    references, member = np.stack(losses[1:]), np.arange(20) < 10
    scores = calibrated(losses[0] + 1e-16 * member, references * (1 + 1e-16), np.ones((3, 20), bool))
    assert area(scores, member) == 0.5
    assert compare(scores, MemberLabels(member, np.zeros(20)), 0).p == 1

"""The attacks on whole packages: they must find real patches, and must not find noise."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from sldd.data.split import Split
from sldd.distillation.initial.labels import initial_labels
from sldd.errors import InputError
from sldd.pipeline.task_data import PatchData
from sldd.privacy_attacks.report import Candidates, look_alike
from sldd.privacy_attacks.similarity import MEASURES, Features

IMAGES = 6


@pytest.fixture(scope="module")
def attacked(candidates: Candidates, features: Features) -> dict[str, dict[str, Any]]:
    """Reports by how the images came about: as those of a ``random_real`` trial, or as noise."""
    data = PatchData(candidates.views.patches, Split(list(candidates.training), [], []))
    return {
        kind: look_alike(
            data.initial_images(kind, initial_labels("one_hot", IMAGES // 2), 2, 4).flatten(0, 1),
            candidates,
            features,
            seed=0,
            batch=64,
            device=torch.device("cpu"),
        )
        for kind in ("real", "noise")
    }


def test_the_control_a_package_of_real_patches_is_found(attacked: dict[str, dict[str, Any]]) -> None:
    report = attacked["real"]
    for measure in MEASURES:
        assert report["nearest"][measure]["copies"] >= IMAGES - 1  # a patch of bare background is nobody's
        assert report["nearest"][measure]["copy_p"] < 0.01
        assert report["reidentification"][measure]["first"] >= IMAGES - 1
        assert report["reidentification"][measure]["tied_p"] < 0.01


def test_a_package_of_noise_is_not(attacked: dict[str, dict[str, Any]]) -> None:
    report = attacked["noise"]
    for measure in MEASURES:
        assert report["nearest"][measure]["copies"] == 0
        assert report["nearest"][measure]["copy_p"] > 0.05
        assert report["nearest"][measure]["effect"]["p"] > 0.05 / 3
        assert report["reidentification"][measure]["tied"] == 0
        assert report["reidentification"][measure]["few_p"] > 0.05 / 3


def test_every_report_carries_both_controls(attacked: dict[str, dict[str, Any]], candidates: Candidates) -> None:
    for report in attacked.values():
        real, noise = report["controls"]["real"], report["controls"]["noise"]
        for measure in MEASURES:
            assert real["nearest"][measure]["copies"] == IMAGES
            assert real["reidentification"][measure]["matched"] == IMAGES
            assert noise["nearest"][measure]["copies"] == 0
            assert noise["reidentification"][measure]["matched"] is None
        windows = 81  # of 16 x 16 at a stride of 6
        assert report["patches"]["training"] == windows * len(candidates.training)
        assert report["patches"]["held_out"] == windows * len(candidates.held_out)


def test_too_few_patients_are_refused(candidates: Candidates) -> None:
    few = [patient for patient in candidates.held_out if candidates.views.labels[patient] == 0][:2]
    with pytest.raises(InputError, match="2 negative held-out patients are too few") as refused:
        Candidates(candidates.views, candidates.training, few)
    assert "\n" not in str(refused.value)

"""A small phantom cohort, its patients in two groups, and a network that had no part in anything."""

from __future__ import annotations

import pytest
import torch

from sldd.data.cohort import Cohort, prepare
from sldd.data.patches import Patches, PatchSettings
from sldd.data.split import SplitSettings, split_patients
from sldd.privacy_attacks.report import Candidates, feature_network
from sldd.privacy_attacks.similarity import Features
from sldd.privacy_attacks.views import PatchViews
from sldd.sources.phantom import PhantomSettings, PhantomSource

SIDE = 16


@pytest.fixture(scope="session")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    return prepare(
        PhantomSource(PhantomSettings(26, 64, 0, difficulty=0.0)), tmp_path_factory.getbasetemp() / "cohorts"
    )


@pytest.fixture(scope="session")
def candidates(cohort: Cohort) -> Candidates:
    """Eleven patients who trained, twelve held out; patches are scored at a wider stride than they train at."""
    split = split_patients(cohort, SplitSettings(validation=0.1, test=0.45, seed=0))
    patches = Patches(cohort, PatchSettings(16, 6, 16, SIDE), *cohort.intensity(split.train))
    return Candidates(PatchViews(patches), split.train, split.test)


@pytest.fixture(scope="session")
def features() -> Features:
    return feature_network("convnet_w32", "xavier", input_size=SIDE, seed=0, device=torch.device("cpu"))

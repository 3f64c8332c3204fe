"""Real radiographs, where they are there: ``$SLDD_DATA``, or ``../shared/data`` beside the project."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sldd.data.cohort import prepare
from sldd.data.patches import BalancedBatches, Patches, PatchSettings
from sldd.data.split import SplitSettings, split_patients
from sldd.io.radiograph import read_radiograph
from sldd.sources.folder import FolderSource
from tests.shared_data import DATA


def _folder(name: str) -> Path:
    if not (DATA / name).is_dir():
        pytest.skip(f"no {name} films in {DATA}; set SLDD_DATA to the folder that holds them")
    return DATA / name


def test_lung_films(tmp_path: Path) -> None:
    cohort = prepare(FolderSource(_folder("lungs")), tmp_path)
    assert (cohort.patients, sum(cohort.labels)) == (138, 58)
    split = split_patients(cohort, SplitSettings(validation=0.15, test=0.25))
    assert [len(part) for part in (split.train, split.validation, split.test)] == [83, 21, 34]
    mean, deviation = cohort.intensity(split.train)
    patches = Patches(cohort, PatchSettings(size=75, stride=12, input_size=32), mean, deviation)
    counts = BalancedBatches(patches, split.train).counts
    assert min(counts.values()) > 1000
    shares = [np.mean(cohort.mask(film)) for film in range(138)]  # type: ignore[arg-type]
    assert 0.02 < min(shares) < max(shares) < 0.6, "lungs are a part of a chest film, and never missing"


@pytest.mark.parametrize("name", ["RG1_half_uncompressed_DERIVED.dcm", "RG3_RLE_DERIVED.dcm"])
def test_dicom_films(name: str) -> None:
    pixels = read_radiograph(_folder("dicom") / name)
    assert pixels.dtype == np.uint16
    # MONOCHROME1 films, so inverted: what attenuates is bright, and the bare film around the patient dark.
    assert pixels.std() > 5000

"""Windows, their classes, and crops."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from sldd.data.cohort import Cohort, one_film, prepare
from sldd.data.patches import (
    DISCARDED,
    BalancedBatches,
    Patches,
    PatchSettings,
    class_windows,
    window_classes,
)
from sldd.errors import InputError
from sldd.ops.windows import Window, in_pixels, organ_shares, window_starts
from sldd.rng import stream
from sldd.sources.folder import FolderSource

CPU = torch.device("cpu")
SETTINGS = PatchSettings(size=16, stride=8, input_size=16)
SMALL = PatchSettings(size=12, stride=6, input_size=12)  # small enough to miss the organ


@pytest.fixture
def cohort(cohort_folder: Path) -> Cohort:
    return prepare(FolderSource(cohort_folder), cohort_folder.parent / "cache")


def test_published_windows() -> None:
    assert len(window_starts(2048, 299, 50)) == 35


@given(
    mask=arrays.arrays(bool, st.tuples(st.integers(8, 20), st.integers(8, 20))),
    size=st.integers(1, 8),
    stride=st.integers(1, 5),
)
def test_shares_are_means_of_windows(mask: np.ndarray, size: int, stride: int) -> None:
    shares = organ_shares(mask, size, stride)
    for row, top in enumerate(window_starts(mask.shape[0], size, stride)):
        for column, left in enumerate(window_starts(mask.shape[1], size, stride)):
            assert shares[row, column] == pytest.approx(mask[top : top + size, left : left + size].mean())


def test_classes_at_their_borders() -> None:
    shares = np.array([0.0, 0.0099, 0.01, 0.5, 0.85, 0.8501, 1.0])
    d = DISCARDED
    assert window_classes(shares, 0, PatchSettings()).tolist() == [0, 0, d, d, d, 1, 1]
    assert window_classes(shares, 1, PatchSettings()).tolist() == [0, 0, d, d, d, 2, 2]


def test_lengths_may_be_shares_of_the_side() -> None:
    assert in_pixels(0.25, 64) == 16
    assert in_pixels(16, 64) == 16
    assert in_pixels(0.001, 64) == 1


def test_shares_of_the_side_cut_the_same_patches(cohort: Cohort) -> None:
    by_share = Patches(cohort, PatchSettings(size=0.25, stride=0.125, input_size=16), 100.0, 50.0)
    by_pixel = Patches(cohort, SETTINGS, 100.0, 50.0)
    for one, other in zip(by_share.scan(0, 999, CPU), by_pixel.scan(0, 999, CPU), strict=True):
        assert torch.equal(one[0], other[0])


def test_shares_are_of_the_shorter_side(cohort: Cohort) -> None:
    for shape in ([64, 40], [40, 64]):
        oblong = replace(cohort, shapes=[shape] * len(cohort.shapes))
        patches = Patches(oblong, PatchSettings(size=0.25, stride=0.125, score_stride=7, input_size=16), 0.0, 1.0)
        assert patches.geometry(0, scoring=False) == (10, 5)
        assert patches.geometry(0, scoring=True) == (10, 7)


def test_scan_covers_every_window_in_small_parts(cohort: Cohort) -> None:
    patches = Patches(cohort, SETTINGS, 100.0, 50.0)
    parts = list(patches.scan(2, 10, CPU))
    assert [len(crops) for crops, _ in parts] == [10, 10, 10, 10, 9]
    crops = torch.cat([crops for crops, _ in parts]).reshape(7, 7, 16, 16)
    pixels = torch.from_numpy(np.array(cohort.pixels(2), np.float32))
    for row in range(7):
        for column in range(7):
            window = pixels[8 * row : 8 * row + 16, 8 * column : 8 * column + 16]
            assert torch.allclose(crops[row, column], (window - 100) / 50)


@pytest.mark.parametrize("input_size", [16, 11, 21])
def test_scored_crops_are_those_of_training(cohort: Cohort, input_size: int) -> None:
    """Two ways of cutting: a film as a whole, where it is scored, and window by window, for a batch of many films."""
    patches = Patches(cohort, PatchSettings(size=16, stride=9, input_size=input_size), 100.0, 50.0)
    places = [Window(2, int(top), int(left), 16) for top in range(0, 49, 9) for left in range(0, 49, 9)]
    scored = torch.cat([crops for crops, _ in patches.scan(2, 7, CPU)])
    assert torch.equal(scored, patches.crop(places))


def test_a_film_is_cut_where_it_is_scored(cohort: Cohort) -> None:
    """A device without memory: whatever would go back and forth between it and the CPU fails."""
    for crops, _ in Patches(cohort, PatchSettings(size=16, stride=8, input_size=12), 100.0, 50.0).scan(
        2, 10, torch.device("meta")
    ):
        assert crops.device.type == "meta"
        assert crops.shape[1:] == (1, 12, 12)


def test_batches_are_balanced_and_repeatable(cohort: Cohort) -> None:
    batches = BalancedBatches(Patches(cohort, SMALL, 100.0, 50.0), range(8))
    images, classes = batches.draw(stream(1, "batch", 7), 96)
    assert images.shape == (96, 1, 12, 12)
    assert torch.bincount(classes).tolist() == [32, 32, 32]
    again, _ = batches.draw(stream(1, "batch", 7), 96)
    other, _ = batches.draw(stream(1, "batch", 8), 96)
    assert torch.equal(images, again)
    assert not torch.equal(images, other)


def test_batches_of_held_films_are_the_same(cohort: Cohort) -> None:
    batches = BalancedBatches(Patches(cohort, SMALL, 100.0, 50.0), range(8))
    near = batches.near(CPU, most=10**9)
    assert near is not batches
    for one, other in zip(near.draw(stream(1, "batch", 7), 96), batches.draw(stream(1, "batch", 7), 96), strict=True):
        assert torch.equal(one, other)
    assert near.fingerprint == batches.fingerprint
    assert near.counts == batches.counts


def test_films_that_do_not_fit_stay_where_they_are(cohort: Cohort) -> None:
    batches = BalancedBatches(Patches(cohort, SMALL, 100.0, 50.0), range(8))
    assert batches.near(CPU, most=cohort.pixels(0).nbytes) is batches


def test_batches_that_cannot_hold_every_class_are_refused(cohort: Cohort) -> None:
    batches = BalancedBatches(Patches(cohort, SMALL, 0.0, 1.0), [3, 8])
    with pytest.raises(InputError, match="a batch of 2 cannot hold each of 3 classes"):
        batches.draw(stream(0, "batch"), 2)


def test_fewer_patches_of_fewer_classes(cohort: Cohort) -> None:
    whole = BalancedBatches(Patches(cohort, SMALL, 0.0, 1.0), range(8))
    few = whole.subset(stream(0, "subset"), classes="NP", per_class=5)
    images, classes = few.draw(stream(1, "batch"), 200)
    assert set(classes.tolist()) == {1, 2}
    for number in (1, 2):
        assert len({image.numpy().tobytes() for image in images[classes == number]}) <= 5
    assert few.counts["N"] == few.counts["P"] == 5 < whole.counts["N"]
    again = whole.subset(stream(0, "subset"), classes="NP", per_class=5)
    assert torch.equal(again.draw(stream(1, "batch"), 20)[0], few.draw(stream(1, "batch"), 20)[0])
    other = whole.subset(stream(1, "subset"), classes="NP", per_class=5)
    assert not torch.equal(other.draw(stream(1, "batch"), 20)[0], few.draw(stream(1, "batch"), 20)[0])
    with pytest.raises(InputError, match=r"grid\.train_patches: 9,999 patches a class, and class P has"):
        whole.subset(stream(0, "subset"), classes="P", per_class=9999)


def test_fewer_patches_are_drawn_without_replacement(cohort: Cohort) -> None:
    whole = BalancedBatches(Patches(cohort, SMALL, 0.0, 1.0), [0, 1])
    most = min(whole.counts["N"], whole.counts["P"])
    images, classes = whole.subset(stream(0, "x"), classes="NP", per_class=most).draw(stream(1, "batch"), 1000)
    for number in (1, 2):
        assert len({image.numpy().tobytes() for image in images[classes == number]}) == most > 5


def test_batches_hold_their_own_patients_only(cohort: Cohort) -> None:
    """Every crop drawn is found again, at some window, on a film of the patients that were named."""
    patches = Patches(cohort, SMALL, 0.0, 1.0)
    images, _ = BalancedBatches(patches, [3, 8]).draw(stream(0, "x"), 60)

    def crops(patients: list[int]) -> set[bytes]:
        return {
            crop.numpy().tobytes()
            for patient in patients
            for part, _ in patches.scan(patient, 99, CPU)
            for crop in part
        }

    assert all(image.numpy().tobytes() in crops([3, 8]) for image in images)
    assert not any(image.numpy().tobytes() in crops([0, 1, 2, 4]) for image in images)


def test_crops_are_resized(cohort: Cohort) -> None:
    patches = Patches(cohort, PatchSettings(size=32, stride=16, input_size=16), 0.0, 1.0)
    crops, _ = next(patches.scan(0, 1, CPU))
    mean = np.array(cohort.pixels(0)[:32, :32], float).mean()
    assert crops.shape == (1, 1, 16, 16)
    assert crops.mean().item() == pytest.approx(mean, rel=0.02)


def test_all_films_of_a_patient_have_the_patients_class_and_train_at_their_own_stride(cohort: Cohort) -> None:
    several = replace(cohort, film_patients=[film // 4 for film in range(12)], labels=[0, 1, 0])
    patches = Patches(several, replace(SMALL, score_stride=9), 0.0, 1.0)
    for film, scoring, side in ((0, True, 6), (0, False, 9), (0, True, 6)):
        classes = patches.classes(film, scoring=scoring)
        assert classes is not None
        assert classes.shape == (side, side)
    for patient, label in enumerate(several.labels):
        windows = class_windows(patches, patient)
        films = set(range(4 * patient, 4 * patient + 4))
        wanted = [films, set() if label else films, films if label else set()]
        assert [set(group[:, 0].tolist()) for group in windows] == wanted
        rows = {row for group in windows for row in group[:, 1].tolist()}
        assert rows <= set(range(0, 53, 6))


def test_what_is_made_smaller_is_averaged_and_not_picked() -> None:
    """One bright row of four: whatever a filter without anti-aliasing sees of it, it is no quarter."""
    pixels = np.zeros((64, 64), np.uint8)
    pixels[::4] = 200
    patches = Patches(one_film(pixels), PatchSettings(size=64, stride=64, input_size=16), 0.0, 1.0)
    assert np.abs(patches.crop([Window(0, 0, 0, 64)])[0, 0, 1:-1].numpy() - 50).max() < 1


def test_the_fingerprint_follows_whatever_changes_a_batch(cohort: Cohort) -> None:
    def batches(settings: PatchSettings = SMALL, mean: float = 100.0, std: float = 50.0) -> BalancedBatches:
        return BalancedBatches(Patches(cohort, settings, mean, std), range(8))

    whole = batches()
    others = [
        batches(replace(SMALL, input_size=11)), batches(mean=99.0), batches(std=49.0),
        BalancedBatches(Patches(cohort, SMALL, 100.0, 50.0), range(7)), whole.subset(stream(0, "x"), classes="NP"),
        whole.subset(stream(0, "x"), per_class=5), whole.subset(stream(1, "x"), per_class=5),
    ]  # fmt: skip
    assert batches().fingerprint == whole.fingerprint is not None
    assert len({each.fingerprint for each in (whole, *others)}) == 8


def test_patch_larger_than_a_radiograph(cohort: Cohort) -> None:
    with pytest.raises(InputError, match=r"patches\.size: 65 pixels is larger than radiograph 1 .*64 x 64"):
        Patches(cohort, PatchSettings(size=65), 0.0, 1.0)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (PatchSettings(size=1), "a patch of 1 pixels; choose at least 8, or a share of the side below 1"),
        (PatchSettings(size=16, irrelevant_below=0.9), "irrelevant_below is above patches.organ_above"),
    ],
)
def test_settings_that_cannot_be_meant(cohort: Cohort, settings: PatchSettings, says: str) -> None:
    with pytest.raises(InputError, match=says):
        Patches(cohort, settings, 0.0, 1.0)


def test_no_patch_of_a_class(cohort: Cohort) -> None:
    patches = Patches(cohort, PatchSettings(size=50, stride=7, input_size=16), 0.0, 1.0)
    with pytest.raises(InputError, match="no training patch of class"):
        BalancedBatches(patches, range(8))

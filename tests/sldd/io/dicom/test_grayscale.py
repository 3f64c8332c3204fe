"""DICOM grayscale pipeline, against the standard's formulas and against pydicom where that is right."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.pixels import apply_modality_lut, apply_voi_lut
from pydicom.uid import ExplicitVRLittleEndian

from sldd.errors import InputError
from sldd.io.dicom.grayscale import grayscale
from sldd.io.dicom.stored import stored_range
from tests.conftest import lookup_table

TWELVE = np.arange(4096)


def _header(**tags: Any) -> Dataset:
    header = Dataset()
    header.PhotometricInterpretation = "MONOCHROME2"
    header.BitsStored, header.PixelRepresentation = 12, 0
    for tag, value in tags.items():
        setattr(header, tag, value)
    return header


def test_twelve_bits_fill_the_range() -> None:
    np.testing.assert_allclose(grayscale(_header(), TWELVE), TWELVE / 4095)


def test_signed_values() -> None:
    header = _header(PixelRepresentation=1)
    assert stored_range(12, signed=True) == (-2048, 2047)
    np.testing.assert_allclose(grayscale(header, TWELVE - 2048), TWELVE / 4095)


@pytest.mark.parametrize(
    ("function", "values"),
    [  # PS3.3 C.11.2.1.2.1, C.11.2.1.3.2 and C.11.2.1.3.1 by hand: center 100, width 50, of 74, 75, 100, 124, 125
        (None, [0, 0, 0.5 + 0.5 / 49, 1, 1]),
        ("LINEAR", [0, 0, 0.5 + 0.5 / 49, 1, 1]),
        ("LINEAR_EXACT", [0, 0, 0.5, 0.98, 1]),
        ("SIGMOID", [1 / (1 + np.exp(x)) for x in (2.08, 2, 0, -1.92, -2)]),
    ],
)
def test_windows(function: str | None, values: list[float]) -> None:
    header = _header(WindowCenter=100, WindowWidth=50)
    if function:
        header.VOILUTFunction = function
    np.testing.assert_allclose(grayscale(header, TWELVE)[[74, 75, 100, 124, 125]], values, atol=1e-12)


def test_a_window_of_width_one_is_a_step() -> None:
    shown = grayscale(_header(WindowCenter=100, WindowWidth=1), TWELVE)
    assert shown[[98, 99, 100, 101]].tolist() == [0, 0, 1, 1]


def test_the_first_of_several_windows_is_taken() -> None:
    several = grayscale(_header(WindowCenter=[2653, 2713], WindowWidth=[900, 750]), TWELVE)
    np.testing.assert_array_equal(several, grayscale(_header(WindowCenter=2653, WindowWidth=900), TWELVE))


@given(
    slope=st.floats(0.01, 20),
    intercept=st.floats(-3000, 3000),
    center=st.floats(-3000, 3000),
    width=st.floats(1.5, 5000),
    function=st.sampled_from(["LINEAR", "LINEAR_EXACT", "SIGMOID"]),
    signed=st.booleans(),
)
def test_windows_are_pydicoms(
    slope: float, intercept: float, center: float, width: float, function: str, signed: bool
) -> None:
    low = -2048 if signed else 0
    values = TWELVE[::37] + low
    header = _header(PixelRepresentation=int(signed), VOILUTFunction=function)
    with warnings.catch_warnings(action="ignore"):  # a DS of more than 16 characters
        header.RescaleSlope, header.RescaleIntercept = slope, intercept
        header.WindowCenter, header.WindowWidth = center, width
        theirs = apply_voi_lut(apply_modality_lut(values, header), header)
        ends = np.array([low, low + 4095]) * slope + intercept
        np.testing.assert_allclose(grayscale(header, values), (theirs - ends[0]) / (ends[1] - ends[0]), atol=1e-9)


@given(count=st.integers(2, 5000), first=st.integers(0, 4000), seed=st.integers(0, 99))
def test_lookup_tables_are_pydicoms(count: int, first: int, seed: int) -> None:
    entries = np.random.default_rng(seed).integers(0, 65536, count)
    for tag in ("ModalityLUTSequence", "VOILUTSequence"):
        header = _header(**{tag: [lookup_table(entries, first)]})
        header.file_meta = FileMetaDataset()
        header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        theirs = apply_voi_lut(apply_modality_lut(TWELVE.astype(np.uint16), header), header)
        low, high = (theirs.min(), theirs.max()) if tag == "ModalityLUTSequence" else (0, 65535)
        np.testing.assert_allclose(grayscale(header, TWELVE), (theirs - low) / max(high - low, 1e-9), atol=1e-9)


def test_a_modality_table_fills_the_range_whatever_depth_it_claims() -> None:
    """As in a real film: entries of 10 bits that are said to have 16, which would leave 1/64 of the contrast."""
    header = _header(ModalityLUTSequence=[lookup_table(TWELVE // 4, bits=16)])
    np.testing.assert_allclose(grayscale(header, TWELVE), TWELVE // 4 / 1023)


def test_a_falling_slope_keeps_the_window_upright() -> None:
    """pydicom's window comes out upside down here."""
    shown = grayscale(_header(RescaleSlope=-1, RescaleIntercept=4095, WindowCenter=2048, WindowWidth=4096), TWELVE)
    np.testing.assert_allclose(shown, 1 - TWELVE / 4095, atol=1e-9)


def test_eight_bit_entries_of_a_long_table() -> None:
    """pydicom keeps the places in such a table in 8 bits."""
    entries = TWELVE // 16
    words = _header(VOILUTSequence=[lookup_table(entries, bits=8)])
    np.testing.assert_allclose(grayscale(words, TWELVE), entries / 255)
    packed = lookup_table(entries, bits=8)
    packed.LUTData = entries.astype(np.uint8).tobytes()
    np.testing.assert_allclose(grayscale(_header(VOILUTSequence=[packed]), TWELVE), entries / 255)


def test_entries_deeper_than_a_table_says_do_not_run_over() -> None:
    shown = grayscale(_header(VOILUTSequence=[lookup_table(TWELVE, bits=10)]), TWELVE)
    np.testing.assert_allclose(shown, TWELVE / 4095)


def test_a_lookup_table_after_a_rescale() -> None:
    header = _header(RescaleSlope=1, RescaleIntercept=0, VOILUTSequence=[lookup_table(TWELVE * 16)])
    np.testing.assert_allclose(grayscale(header, TWELVE), TWELVE * 16 / 65535)


def test_a_lookup_table_wins_over_a_window() -> None:
    header = _header(VOILUTSequence=[lookup_table(TWELVE * 8)], WindowCenter=2000, WindowWidth=1000)
    np.testing.assert_allclose(grayscale(header, TWELVE), TWELVE * 8 / 65535)


def test_empty_tags_are_as_good_as_none() -> None:
    empty: dict[str, Any] = {"WindowCenter": None, "RescaleSlope": "", "RescaleIntercept": None, "VOILUTFunction": ""}
    np.testing.assert_array_equal(
        grayscale(_header(VOILUTSequence=[], ModalityLUTSequence=[], **empty), TWELVE), grayscale(_header(), TWELVE)
    )


RISES, FALLS = True, False
MONO1 = {"PhotometricInterpretation": "MONOCHROME1"}


@pytest.mark.parametrize(
    ("tags", "attenuation"),
    [
        ({}, RISES),
        (MONO1, FALLS),
        ({"PresentationLUTShape": "IDENTITY"}, RISES),
        ({"PresentationLUTShape": "INVERSE"}, FALLS),
        (MONO1 | {"PresentationLUTShape": "INVERSE"}, FALLS),  # both say it, as DX films do: once
        ({"PixelIntensityRelationshipSign": -1}, RISES),
        ({"PixelIntensityRelationshipSign": 1}, FALLS),
        (MONO1 | {"PixelIntensityRelationshipSign": 1}, FALLS),  # agree, and invert once
        ({"PixelIntensityRelationshipSign": 1, "PresentationLUTShape": "INVERSE"}, FALLS),  # the published films
        ({"PixelIntensityRelationshipSign": -1, "RescaleSlope": -1, "RescaleIntercept": 4095}, RISES),
        ({"PixelIntensityRelationshipSign": 1, "PresentationIntentType": "FOR PROCESSING"}, FALLS),
        ({"PixelIntensityRelationshipSign": 1, "PresentationIntentType": "FOR PRESENTATION"}, RISES),
        (MONO1 | {"PixelIntensityRelationshipSign": -1, "PresentationIntentType": "FOR PRESENTATION"}, FALLS),
    ],
)
def test_polarity(tags: dict[str, Any], attenuation: bool) -> None:
    shown = grayscale(_header(**tags), TWELVE)
    np.testing.assert_allclose(shown, TWELVE / 4095 if attenuation == RISES else 1 - TWELVE / 4095, atol=1e-9)


@pytest.mark.parametrize(
    ("tags", "says"),
    [
        ({"WindowCenter": 100, "WindowWidth": 0}, "window has no width"),
        ({"WindowCenter": 100, "WindowWidth": 50, "VOILUTFunction": "CANARY"}, "VOI LUT function is none of"),
        ({"RescaleSlope": 0, "RescaleIntercept": 7}, "rescale slope is 0"),
        ({"VOILUTSequence": [lookup_table(TWELVE, bits=20)]}, "less than 8 or more than 16 bits"),
    ],
)
def test_what_makes_no_picture_is_refused(tags: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says) as caught:
        grayscale(_header(**tags), TWELVE)
    assert "CANARY" not in str(caught.value)


def test_a_lookup_table_that_is_cut_short_is_refused() -> None:
    item = lookup_table(TWELVE)
    item.LUTData = item.LUTData[:100]
    with pytest.raises(InputError, match="shorter than it says"):
        grayscale(_header(VOILUTSequence=[item]), TWELVE)

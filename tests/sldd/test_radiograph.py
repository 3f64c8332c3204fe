"""Radiographs: the pixels of a file, and nothing else of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

from sldd.errors import InputError
from sldd.radiograph import read_mask, read_radiograph

RAMP = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64)  # every value of 12 bits once


def _write_dicom(path: Path, stored: np.ndarray = RAMP, **tags: object) -> Path:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = "1.2.3"
    dataset = Dataset()
    dataset.file_meta = meta
    dataset.SOPClassUID, dataset.SOPInstanceUID = SecondaryCaptureImageStorage, "1.2.3"
    dataset.PatientName, dataset.PatientID = "DOE^JANE", "4711"
    dataset.Rows, dataset.Columns = stored.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
    dataset.PixelData = stored.tobytes()
    for tag, value in tags.items():
        setattr(dataset, tag, value)
    dataset.save_as(path, enforce_file_format=True)
    return path


def test_twelve_bits_fill_the_range(tmp_path: Path) -> None:
    read = read_radiograph(_write_dicom(tmp_path / "a.dcm"))
    assert read.dtype == np.uint16
    np.testing.assert_allclose(read, RAMP.astype(float) * 65535 / 4095, atol=0.5)


def test_monochrome1_is_inverted(tmp_path: Path) -> None:
    plain = read_radiograph(_write_dicom(tmp_path / "a.dcm"))
    inverted = read_radiograph(_write_dicom(tmp_path / "b.dcm", PhotometricInterpretation="MONOCHROME1"))
    np.testing.assert_allclose(inverted, 65535.0 - plain, atol=1)


def test_window_is_applied(tmp_path: Path) -> None:
    read = read_radiograph(_write_dicom(tmp_path / "a.dcm", WindowCenter=2000, WindowWidth=1000)).ravel()
    assert (read[:1500] == 0).all()
    assert (read[2500:] == 65535).all()
    assert 0 < read[2000] < 65535


def test_dicom_is_known_by_its_content(tmp_path: Path) -> None:
    named = read_radiograph(_write_dicom(tmp_path / "a.dcm"))
    np.testing.assert_array_equal(read_radiograph(_write_dicom(tmp_path / "no-suffix")), named)


def test_broken_dicom_names_no_patient(tmp_path: Path) -> None:
    path = _write_dicom(tmp_path / "DOE-JANE.dcm")
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(InputError) as caught:
        read_radiograph(path)
    assert "DOE" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_eight_bits_stay_eight_bits(tmp_path: Path) -> None:
    values = np.arange(256, dtype=np.uint8).reshape(16, 16)
    Image.fromarray(values).save(tmp_path / "a.png")
    read = read_radiograph(tmp_path / "a.png")
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, values)


def test_lookup_table_wins_over_a_window(tmp_path: Path) -> None:
    table = Dataset()
    table.LUTDescriptor, table.LUTData = [4096, 0, 16], (RAMP.ravel() * 8).tobytes()
    tags = {"VOILUTSequence": [table], "WindowCenter": 2000, "WindowWidth": 1000}
    read = read_radiograph(_write_dicom(tmp_path / "a.dcm", **tags))
    np.testing.assert_array_equal(read, RAMP * 8)


def test_empty_tags_are_as_good_as_none(tmp_path: Path) -> None:
    plain = read_radiograph(_write_dicom(tmp_path / "a.dcm"))
    empty = {"VOILUTSequence": [], "WindowCenter": None, "RescaleSlope": None, "RescaleIntercept": None}
    np.testing.assert_array_equal(read_radiograph(_write_dicom(tmp_path / "b.dcm", **empty)), plain)


def test_colour_dicom_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="PALETTE COLOR, not gray scale"):
        read_radiograph(_write_dicom(tmp_path / "a.dcm", PhotometricInterpretation="PALETTE COLOR"))


def test_empty_mask_is_refused(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((16, 16), np.uint8)).save(tmp_path / "m.png")
    with pytest.raises(InputError, match="the mask is all black"):
        read_mask(tmp_path / "m.png")


@pytest.mark.parametrize("inside", [1, 100, 255])
def test_masks_of_any_two_values(tmp_path: Path, inside: int) -> None:
    values = np.zeros((16, 16), np.uint8)
    values[4:8] = inside
    Image.fromarray(values).save(tmp_path / "m.png")
    assert read_mask(tmp_path / "m.png").sum() == 64

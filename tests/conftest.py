"""What all tests share: one thread, no network, small cohorts made on the spot, ledgers that unlock."""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before NumPy: its threads wait for each other by spinning
os.environ.setdefault("RAY_worker_niceness", "0")  # Ray's 15 would let workers starve beside other tests

import gc
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import numpy as np
import pytest
import torch
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

from ledger.ledger import FORMAT, Ledger

OpenLedger = Callable[[Path], Ledger]

torch.set_num_threads(1)
# A slow machine is no bug; examples are the same every time, so that a red run can be repeated.
hypothesis.settings.register_profile("project", deadline=None, derandomize=True)
hypothesis.settings.load_profile("project")
os.environ.setdefault("HF_HUB_OFFLINE", "1")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files of slow tests go first: at the end, the other processes would wait for the other."""
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    items.sort(key=lambda item: -slow[item.path])


def pytest_collection_finish() -> None:
    """All that is imported by now stays: the garbage collector need not go through it again, a third of a second."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _power_of_few_studies() -> Iterator[None]:
    """Pages simulate a tenth of the studies: how sure their chances are is for other tests (tests/analysis/design)."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("analysis.design.power.STUDIES", 40)
        yield


def write_film(folder: Path, name: str, pixels: np.ndarray, mask: np.ndarray) -> None:
    """One radiograph and its mask, as PNG files."""
    for kind, values in (("images", pixels), ("masks", mask.astype(np.uint8) * 255)):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        Image.fromarray(values).save(folder / kind / name)


def write_manifest(folder: Path, rows: list[str], header: str = "patient_id,image,mask,label") -> None:
    """``manifest.csv`` from finished lines."""
    (folder / "manifest.csv").write_text("\n".join([header, *rows]) + "\n")


def write_dicom(path: Path, stored: np.ndarray, syntax: str = ExplicitVRLittleEndian, **tags: object) -> Path:
    """A DICOM film of 12 bits unless ``tags`` say otherwise; ``PixelData`` among them stands for ``stored``."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = SecondaryCaptureImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = "1.2.3"
    dataset.PatientName, dataset.PatientID = "DOE^JANE", "4711"
    dataset.Rows, dataset.Columns = stored.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = stored.itemsize * 8, 12, 11
    dataset.PixelRepresentation = int(stored.dtype.kind == "i")
    dataset.PixelData = stored.tobytes()
    for tag, value in tags.items():
        setattr(dataset, tag, value)
    with warnings.catch_warnings(action="ignore"):  # some tests write what should not be
        dataset.save_as(path, enforce_file_format=True)
    return path


def write_nifti(path: Path, values: np.ndarray, affine: np.ndarray | None = np.eye(4), **header: object) -> Path:  # noqa: B008
    """A NIfTI file, compressed where its name says so; unless told, its axes lead right, to the front and up."""
    import nibabel

    image = nibabel.Nifti1Image(values, affine)
    for name, value in header.items():
        image.header[name] = value
    image.to_filename(path)
    return path


def lookup_table(entries: np.ndarray, first: int = 0, bits: int = 16) -> Dataset:
    """An item of a Modality or VOI LUT sequence."""
    item = Dataset()
    item.LUTDescriptor = [len(entries) % 65536, first, bits]
    item.add_new("LUTData", "OW", entries.astype("<u2").tobytes())
    return item


def write_cohort(folder: Path) -> Path:
    """Twelve patients of 64 x 64 pixels, half positive: an organ in the middle, brighter where positive."""
    random = np.random.default_rng(5)
    rows = []
    for patient in range(12):
        label = patient % 2
        mask = np.zeros((64, 64), bool)
        mask[12:52, 12:52] = True
        pixels = random.integers(0, 40, (64, 64)) + mask * (120 + 60 * label)
        write_film(folder, f"{patient}.png", pixels.astype(np.uint8), mask)
        rows.append(f"patient-{patient:02d},images/{patient}.png,masks/{patient}.png,{label}")
    write_manifest(folder, rows)
    return folder


@pytest.fixture
def cohort_folder(tmp_path: Path) -> Path:
    """The cohort of ``write_cohort``, for a test that may change it."""
    return write_cohort(tmp_path / "cohort")


@pytest.fixture
def open_ledger() -> Iterator[OpenLedger]:
    """Opens the ledger of a folder; opening it again first closes the one before, as a new driver would."""
    held: dict[Path, Ledger] = {}

    def open_again(folder: Path) -> Ledger:
        if folder in held:
            held[folder].close()
        held[folder] = Ledger(folder)
        held[folder].hold()
        held[folder].start({"format": FORMAT, "name": "x", "config": {}, "provenance": {}})
        return held[folder]

    yield open_again
    for ledger in held.values():
        ledger.close()

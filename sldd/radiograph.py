"""Read one radiograph. Nothing of a patient leaves this file but pixels: no header field, no file name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from sldd.errors import InputError

DECODING = 1
"""Part of a cohort's fingerprint. Raise it whenever the same file would give other pixels than before."""

DICOM_SUFFIXES = {".dcm", ".dicom"}


def read_radiograph(path: Path) -> np.ndarray:
    """Read a PNG, TIFF or DICOM radiograph of 8 to 16 bit.

    Returns:
        (height, width), uint8 for 8-bit files and uint16 for all others; bright means attenuating for DICOM files,
        whatever their photometric interpretation, and is as stored for the others.

    Raises:
        InputError: the file is missing, cannot be decoded, or holds no single gray-scale image.
    """
    if not _exists(path):
        raise InputError("the image does not exist; correct the path in the manifest")
    try:
        dicom = path.suffix.lower() in DICOM_SUFFIXES or _is_dicom(path)
    except OSError as error:
        raise InputError(f"the image cannot be read ({error.strerror})") from None
    if dicom:
        return _read_dicom(path)
    return _read_raster(path, "image")


def read_mask(path: Path) -> np.ndarray:
    """Read an organ mask: (height, width) bool, true where the file is brighter than half its brightest value.

    Raises:
        InputError: the file is missing, cannot be decoded, or marks no organ.
    """
    if not _exists(path):
        raise InputError("the mask does not exist; correct the path in the manifest")
    values = _read_raster(path, "mask")
    if not values.any():
        raise InputError("the mask is all black; draw the organ, or leave the manifest's mask empty")
    return values > values.max() // 2


def _exists(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a folder that may not be searched
        return False


def _read_raster(path: Path, what: str) -> np.ndarray:
    try:
        with Image.open(path) as image:
            image.load()
            deep = image.mode.startswith("I") or image.mode == "F"
            pixels = np.asarray(image if deep else image.convert("L"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        # Pillow's own message names the file, and files are named after patients.
        raise InputError(
            f"the {what} cannot be read ({type(error).__name__}); it should be a whole PNG or TIFF file"
            + (", or DICOM" if what == "image" else "")
        ) from None
    if pixels.dtype == np.uint8:
        return pixels
    if pixels.min() < 0 or pixels.max() > np.iinfo(np.uint16).max or np.any(pixels != np.floor(pixels)):
        raise InputError(f"the {what} holds values outside 0..65535; save it as 8 to 16 bit gray scale")
    return pixels.astype(np.uint16)


def _is_dicom(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def _read_dicom(path: Path) -> np.ndarray:
    import pydicom
    from pydicom.pixels import apply_modality_lut, apply_voi_lut

    try:
        dataset = pydicom.dcmread(path)
        stored = dataset.pixel_array
        if stored.ndim != 2:
            raise InputError("the DICOM file holds more than one gray-scale frame; export the single radiograph")
        if dataset.PhotometricInterpretation not in ("MONOCHROME1", "MONOCHROME2"):
            raise InputError(f"the DICOM file is {dataset.PhotometricInterpretation}, not gray scale")
        for tag in ("RescaleSlope", "RescaleIntercept", "VOILUTSequence", "ModalityLUTSequence", "WindowCenter"):
            if tag in dataset and not dataset[tag].value and dataset[tag].value != 0:
                del dataset[tag]  # present but empty, as some exports write them
        shown = apply_voi_lut(apply_modality_lut(stored, dataset), dataset).astype(np.float64)
        low, high = _displayed_range(dataset, shown)
    except InputError:
        raise
    except Exception as error:  # pydicom raises a wide range, and its messages may quote header fields
        raise InputError(
            f"the DICOM file cannot be decoded ({type(error).__name__}); "
            "compressed files may need the extra decoders: pip install 'sldd-study[dicom]'"
        ) from None
    scaled = np.clip((shown - low) / max(high - low, 1e-9), 0.0, 1.0)
    # MONOCHROME1 shows low values bright; presentation shape INVERSE says the same in newer files.
    if dataset.PhotometricInterpretation == "MONOCHROME1" or dataset.get("PresentationLUTShape") == "INVERSE":
        scaled = 1.0 - scaled
    return np.rint(scaled * np.iinfo(np.uint16).max).astype(np.uint16)


def _displayed_range(dataset: object, shown: np.ndarray) -> tuple[float, float]:
    """The value range that the stored bits, rescaled, can take (DICOM PS3.3 C.11.2.1.2: the window's output range)."""
    get = dataset.get  # type: ignore[attr-defined]
    if "VOILUTSequence" in dataset:  # type: ignore[operator]  # pydicom prefers it to a window
        return 0.0, 2.0 ** int(get("VOILUTSequence")[0].LUTDescriptor[2]) - 1
    if "ModalityLUTSequence" in dataset:  # type: ignore[operator]
        return 0.0, 2.0 ** int(get("ModalityLUTSequence")[0].LUTDescriptor[2]) - 1
    depth = int(get("BitsStored"))
    signed = int(get("PixelRepresentation", 0)) == 1
    ends = (-(2.0 ** (depth - 1)), 2.0 ** (depth - 1) - 1) if signed else (0.0, 2.0**depth - 1)
    slope, intercept = float(get("RescaleSlope", 1) or 1), float(get("RescaleIntercept", 0) or 0)
    low, high = sorted(slope * end + intercept for end in ends)
    return min(low, float(shown.min())), max(high, float(shown.max()))

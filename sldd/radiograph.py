"""Read one radiograph. Nothing of a patient leaves this file but pixels: no header field, no file name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from sldd.errors import InputError

DICOM_SUFFIXES = {".dcm", ".dicom"}


def read_radiograph(path: Path) -> np.ndarray:
    """Read a PNG, TIFF or DICOM radiograph of 8 to 16 bit.

    Returns:
        (height, width), uint8 for 8-bit files and uint16 for all others; bright means attenuating for DICOM files,
        whatever their photometric interpretation, and is as stored for the others.

    Raises:
        InputError: the file is missing, cannot be decoded, or holds no single gray-scale image.
    """
    if not path.is_file():
        raise InputError("the image does not exist; correct the path in the manifest")
    if path.suffix.lower() in DICOM_SUFFIXES or _is_dicom(path):
        return _read_dicom(path)
    return _read_raster(path)


def read_mask(path: Path) -> np.ndarray:
    """Read an organ mask: (height, width) bool, true where the file is brighter than half its type's range.

    A mask drawn with ones instead of 255s is accepted: where the brightest value is 1, one counts as inside.
    """
    if not path.is_file():
        raise InputError("the mask does not exist; correct the path in the manifest")
    values = _read_raster(path)
    top = int(values.max(initial=0))
    return values > (0 if top <= 1 else np.iinfo(values.dtype).max // 2)


def _read_raster(path: Path) -> np.ndarray:
    try:
        with Image.open(path) as image:
            image.load()
            deep = image.mode.startswith("I") or image.mode == "F"
            pixels = np.asarray(image if deep else image.convert("L"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        # Pillow's own message names the file, and files are named after patients.
        raise InputError(
            f"the image cannot be read ({type(error).__name__}); it should be a whole PNG, TIFF or DICOM file"
        ) from None
    if pixels.dtype == np.uint8:
        return pixels
    if pixels.min() < 0 or pixels.max() > np.iinfo(np.uint16).max or np.any(pixels != np.floor(pixels)):
        raise InputError("the image holds values outside 0..65535; save it as 8 to 16 bit gray scale")
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
        shown = apply_voi_lut(apply_modality_lut(stored, dataset), dataset).astype(np.float64)
    except InputError:
        raise
    except Exception as error:  # pydicom raises a wide range, and its messages may quote header fields
        raise InputError(
            f"the DICOM file cannot be decoded ({type(error).__name__}); "
            "compressed files may need the extra decoders: pip install 'sldd-study[dicom]'"
        ) from None
    low, high = _displayed_range(dataset, shown)
    scaled = np.clip((shown - low) / max(high - low, 1e-9), 0.0, 1.0)
    # MONOCHROME1 shows low values bright; presentation shape INVERSE says the same in newer files.
    if dataset.PhotometricInterpretation == "MONOCHROME1" or dataset.get("PresentationLUTShape") == "INVERSE":
        scaled = 1.0 - scaled
    return np.rint(scaled * np.iinfo(np.uint16).max).astype(np.uint16)


def _displayed_range(dataset: object, shown: np.ndarray) -> tuple[float, float]:
    """The value range that the stored bits, rescaled, can take (DICOM PS3.3 C.11.2.1.2: the window's output range)."""
    get = dataset.get  # type: ignore[attr-defined]
    if "VOILUTSequence" in dataset and "WindowCenter" not in dataset:  # type: ignore[operator]
        return 0.0, 2.0 ** int(get("VOILUTSequence")[0].LUTDescriptor[2]) - 1
    if "ModalityLUTSequence" in dataset:  # type: ignore[operator]
        return 0.0, 2.0 ** int(get("ModalityLUTSequence")[0].LUTDescriptor[2]) - 1
    depth = int(get("BitsStored"))
    signed = int(get("PixelRepresentation", 0)) == 1
    ends = (-(2.0 ** (depth - 1)), 2.0 ** (depth - 1) - 1) if signed else (0.0, 2.0**depth - 1)
    slope, intercept = float(get("RescaleSlope", 1) or 1), float(get("RescaleIntercept", 0) or 0)
    low, high = sorted(slope * end + intercept for end in ends)
    return min(low, float(shown.min())), max(high, float(shown.max()))

"""DICOM grayscale pipeline (PS3.3): modality LUT, VOI LUT or window, and inversion.

Stored values -> Modality LUT (C.11.1) -> VOI LUT or window (C.11.2) -> polarity (C.8.11.3.1.2). Each is a function of
one value, so it is worked out once for every value there can be, and looked up. It is written here since pydicom's
turns a window upside down where the rescale slope falls, and indexes LUTs with 8-bit entries by 8 bits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sldd.errors import InputError

if TYPE_CHECKING:
    from pydicom import Dataset

TAGS = (
    "RescaleSlope", "RescaleIntercept", "ModalityLUTSequence",
    "WindowCenter", "WindowWidth", "VOILUTFunction", "VOILUTSequence",
    "PhotometricInterpretation", "PresentationIntentType", "PresentationLUTShape", "PixelIntensityRelationshipSign",
)  # fmt: skip
"""All that is asked of a header."""


def grayscale(header: Dataset, values: np.ndarray) -> np.ndarray:
    """Gray values of the stored ``values``, in rising order: 0 .. 1, 1 for what attenuates most.

    Args:
        header: of the film.
        values: (n,) integers; the first and the last are the ends of the range where the header names no window.
    """
    shown = _voi(header, _modality(header, values))
    inverted = str(header.get("PhotometricInterpretation", "")).strip() == "MONOCHROME1"
    # In a DX film both are there and say the same (C.8.11.3.1.2): one inversion, not two.
    inverted |= str(header.get("PresentationLUTShape") or "").strip() == "INVERSE"
    sign = header.get("PixelIntensityRelationshipSign")
    looked_at = str(header.get("PresentationIntentType") or "").strip() == "FOR PRESENTATION"
    if sign in (-1, 1) and not looked_at:
        # Of raw films only the sign tells: 1 where stored values rise with the beam. One for presentation is shown by
        # the tags above, where a mistake would have been seen; the sign is not meant for that (C.8.11.3.1.2).
        # Whether the relation is LIN or LOG changes nothing: window and LUTs were made for what is stored.
        falls = shown[-1] < shown[0]
        inverted = (sign == 1) != bool(falls)
    return 1.0 - shown if inverted else shown


def _modality(header: Dataset, values: np.ndarray) -> np.ndarray:
    """Modality LUT, else rescale slope and intercept (C.11.1)."""
    if header.get("ModalityLUTSequence"):
        return _look_up(header.ModalityLUTSequence[0], values)[0]
    slope, intercept = _number(header, "RescaleSlope"), _number(header, "RescaleIntercept")
    if slope == 0:
        raise InputError("the DICOM file's rescale slope is 0, which leaves no picture; correct or remove it")
    return values * (1.0 if slope is None else slope) + (intercept or 0.0)


def _voi(header: Dataset, values: np.ndarray) -> np.ndarray:
    """VOI LUT, else the first window, else the whole range (C.11.2): 0 .. 1."""
    if header.get("VOILUTSequence"):
        entries, top = _look_up(header.VOILUTSequence[0], values)
        return entries / top
    center, width = _number(header, "WindowCenter"), _number(header, "WindowWidth")
    if center is None or width is None:
        # What stored values can become, not what a LUT's descriptor promises: some say 16 bits for entries of 10.
        low, high = values.min(), values.max()
        return (values - low) / max(high - low, 1e-9)
    function = str(header.get("VOILUTFunction") or "LINEAR").strip().upper()
    if function not in ("LINEAR", "LINEAR_EXACT", "SIGMOID"):
        raise InputError("the DICOM file's VOI LUT function is none of LINEAR, LINEAR_EXACT, SIGMOID; export it again")
    if width < 1 if function == "LINEAR" else width <= 0:
        raise InputError("the DICOM file's window has no width; correct or remove it")
    if function == "SIGMOID":
        return 1.0 / (1.0 + np.exp(np.clip(-4.0 * (values - center) / width, -700, 700)))
    if function == "LINEAR":
        center, width = center - 0.5, width - 1.0
    if width == 0:  # a LINEAR window of width 1 is a step
        return (values > center).astype(np.float64)
    return np.clip((values - center) / width + 0.5, 0.0, 1.0)


def _look_up(item: Dataset, values: np.ndarray) -> tuple[np.ndarray, float]:
    """Entries of a LUT for ``values``, and the highest entry that there can be, or is against its word."""
    count, first, bits = (int(value) for value in item.LUTDescriptor)
    count = count or 1 << 16
    if not 8 <= bits <= 16:
        raise InputError("a lookup table of the DICOM file has entries of less than 8 or more than 16 bits")
    data: Any = item.LUTData
    if isinstance(data, bytes):
        word = ">u2" if item.original_encoding[1] is False else "<u2"  # big-endian files are old, not gone
        data = np.frombuffer(data, "u1" if bits == 8 and len(data) < 2 * count else word)  # some pack 8 bits
    table = np.atleast_1d(np.asarray(data))
    if len(table) < count:
        raise InputError("a lookup table of the DICOM file is shorter than it says; export it again")
    places = np.clip(np.rint(values).astype(np.int64) - first, 0, count - 1)
    return table[places].astype(np.float64), float(max((1 << bits) - 1, table.max()))


def _number(header: Dataset, tag: str) -> float | None:
    """The (first) value of a tag; None where it is missing or empty, as some exports write it."""
    value = header.get(tag)
    if value is None or value == "":
        return None
    if hasattr(value, "__len__") and not isinstance(value, str):
        if not len(value):
            return None
        value = value[0]
    number = float(value)
    if not np.isfinite(number):
        raise InputError("the DICOM file's window or rescale values are not numbers; export it again")
    return number

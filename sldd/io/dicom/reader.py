"""DICOM films: check the header, decode a frame's stored values, and map them to gray (``grayscale``) or RGB.

Only the tags named below are read. A header is full of names, and so are exceptions, warnings and log lines about it:
nothing of either leaves this file. Sizes are checked before anything is allocated, in the header and in what is
compressed.
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from sldd.errors import InputError
from sldd.io.dicom.frames import check_frame
from sldd.io.dicom.grayscale import TAGS, grayscale
from sldd.io.dicom.stored import TAGS as PADDING_TAGS
from sldd.io.dicom.stored import film_bits, find_padding, stored_range
from sldd.io.film import HEAD, MAX_PIXELS, ChannelsError, Radiograph, VolumeError, slice_number
from sldd.io.silence import silence

if TYPE_CHECKING:
    from pydicom import Dataset

DICOM_DECODING = 2
"""Part of a cohort's fingerprint; see ``DECODING`` of the radiographs."""

_MAX_BYTES = 2**29
_MOST_PADDING = 0.9
_MOST_CLIPPED = 0.85
"""Share of a film that a window may make black, or white; the air around a patient takes half and more."""

_STORED = (
    "Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "PlanarConfiguration",
    "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation",
)  # fmt: skip
_GRAY = {"MONOCHROME1", "MONOCHROME2"}
_RGB = {"RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT"}
_COLOURS = {"PALETTE COLOR", "YBR_PARTIAL_420"} | _RGB


class NoImageError(InputError):
    """A DICOM file of something else: a report, a presentation state, the directory of a disc."""


def is_dicom(path: Path, head: bytes) -> bool:
    """True where a file's first ``HEAD`` bytes, or else its name, say DICOM."""
    return head[128:] == b"DICM" or path.name[-6:].lower().endswith((".dcm", ".dicom")) or _is_bare(head)


def read_dicom(path: Path, channels: int = 1, place: float | None = None) -> Radiograph:
    """Read one radiograph, or one image in colour.

    Args:
        channels, place: as of ``read_film``.

    Returns:
        uint16 over the whole range that a viewer would show; bright means attenuating. uint8 RGB in colour.

    Raises:
        NoImageError: it is a DICOM file of something else.
        ChannelsError: it is gray, and colour is asked for.
        InputError: it cannot be decoded, or holds no single gray-scale film of 8 to 16 bit, or RGB image of 8 bit.
    """
    with silence():
        try:
            header, words, depth = _decoded(path, channels, place)
            return _shown(header, words, depth) if channels == 1 else Radiograph(words, as_shown=True)
        except (InputError, KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # pydicom raises a wide range, and decoders in Rust what is no Exception
            raise InputError(
                f"the DICOM file cannot be decoded ({type(error).__name__}); it is damaged or no image: export it again"
            ) from None


def _shown(header: Dataset, words: np.ndarray, stream_depth: int | None) -> Radiograph:
    """What the film looks like, without its padding."""
    changed, notes = [], []
    padding = find_padding(header, words)
    if padding is not None:
        changed.append("padding")
        words = np.where(padding, words[~padding].min(), words)
    stored, depth, masked = film_bits(header, words, stream_depth)
    if masked and stream_depth is not None:  # of others, earlier versions took them off too
        changed.append("bits above BitsStored")
    elif depth != int(header.BitsStored):
        changed.append("depth of the stream")
    if stream_depth is not None and stream_depth <= 8 < depth:
        notes.append(
            f"its compressed pixels have {stream_depth} bits, and its header says {depth}: it may be far too dark"
        )
    low, high = stored_range(depth, stored.dtype.kind == "i")
    shown = grayscale(header, np.arange(low, high + 1))
    table = np.rint(shown * np.iinfo(np.uint16).max).astype(np.uint16)
    pixels = table[stored.astype(np.int32) - low]
    if _clipped(pixels, stored, padding):
        notes.append(
            "its window (WindowCenter, WindowWidth) does not fit its values: nearly all of it is one gray value"
        )
    if padding is not None:
        pixels[padding] = 0
        if padding.mean() > _MOST_PADDING:
            notes.append("nearly all of it is padding (PixelPaddingValue)")
    return Radiograph(pixels, padding, tuple(changed), tuple(notes), as_shown=True)


def _clipped(pixels: np.ndarray, stored: np.ndarray, padding: np.ndarray | None) -> bool:
    """Whether nearly all of a film became black or white that was not one value before, by a sample of its pixels."""
    step = max(1, min(pixels.shape) // 256)
    shown, values = pixels[::step, ::step], stored[::step, ::step]
    if padding is not None:
        film = ~padding[::step, ::step]
        shown, values = shown[film], values[film]
    for end in (0, np.iinfo(np.uint16).max):
        at_end = shown == end
        if at_end.mean() > _MOST_CLIPPED:
            _, counts = np.unique(values[at_end], return_counts=True)
            return bool(counts.max() < _MOST_CLIPPED / 2 * shown.size)
    return False


def read_stored(path: Path) -> tuple[Dataset, np.ndarray]:
    """The tags that matter, and (height, width) words: the stored values with all bits that are allocated to them."""
    return _decoded(path)[:2]


def _decoded(path: Path, channels: int = 1, place: float | None = None) -> tuple[Dataset, np.ndarray, int | None]:
    """As of ``read_stored``, and bits of a pixel as the stream says; sizes are checked before anything is allocated."""
    from pydicom.pixels import get_decoder

    dataset = _read_file(path, channels, place)
    frames = int(dataset.get("NumberOfFrames") or 1)
    number = slice_number(place or 0.0, frames)
    syntax = dataset.file_meta.TransferSyntaxUID
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError:
        raise InputError(
            "the DICOM file is compressed in a way that no decoder is known for; export it uncompressed"
        ) from None
    if not decoder.is_available:
        raise InputError(
            f"the DICOM file is compressed ({syntax.name}) and no decoder for that is installed; "
            "pip install 'sldd-study[dicom]'"
        )
    depth = None
    if syntax.is_encapsulated:
        depth = check_frame(dataset, number, frames)
    else:
        _check_length(dataset, frames)
    words, _ = decoder.as_array(dataset, index=number, raw=channels == 1, correct_unused_bits=False)
    if words.shape != (dataset.Rows, dataset.Columns, channels)[: 2 + (channels > 1)]:
        raise InputError("the DICOM file's pixels do not fit its Rows and Columns; export it again")
    return dataset, words, depth


def _read_file(path: Path, channels: int, place: float | None) -> Dataset:
    """The tags that matter, checked; its transfer syntax is there."""
    from pydicom import dcmread
    from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

    if path.stat().st_size > _MAX_BYTES:
        raise InputError(f"the DICOM file is larger than {_MAX_BYTES >> 20} MiB; export the single radiograph")
    tags = [*_STORED, *TAGS, *PADDING_TAGS, "SOPClassUID"]
    with _Guarded(path) as file:
        head = file.read(HEAD)
        bare = head[128:] != b"DICM"
        if bare and not _is_bare(head):
            raise InputError(
                "the file is named as DICOM and is none: it has no DICOM file header (DICM); export it again"
            )
        file.seek(0)
        _check_header(dcmread(file, stop_before_pixels=True, specific_tags=[*tags], force=bare), channels, place)
        file.seek(0)
        dataset = dcmread(file, specific_tags=[*tags, "PixelData"], force=bare)
    if not dataset.get("PixelData"):
        raise InputError(
            "the DICOM file is cut off: it says how its pixels are stored and ends before them; copy it again"
        )
    if not hasattr(dataset, "file_meta") or "TransferSyntaxUID" not in dataset.file_meta:
        if not bare or dataset["PixelData"].is_undefined_length:
            raise InputError(
                "the DICOM file does not say how it is encoded (TransferSyntaxUID is missing); export it again"
            )
        # A data set without the file header is of one of the encodings that need no table, and its own bytes say which.
        implicit, little = dataset.original_encoding
        kinds = {(True, True): ImplicitVRLittleEndian, (False, True): ExplicitVRLittleEndian}
        dataset.ensure_file_meta()
        dataset.file_meta.TransferSyntaxUID = UID(kinds.get((bool(implicit), bool(little)), ExplicitVRBigEndian))
    return dataset


def _is_bare(head: bytes) -> bool:
    """Whether a file begins like a data set without the file header: with an element of the groups 2 or 8.

    Archives of the last century, and exports that keep a received object as it was sent, leave the header out.
    """
    if head[:2] not in (b"\2\0", b"\b\0", b"\0\2", b"\0\b"):
        return False
    orders: tuple[Literal["little", "big"], ...] = ("little", "big")
    for order in orders:
        group, element = (int.from_bytes(head[at : at + 2], order) for at in (0, 2))
        if group in (2, 8) and element <= 0x0070 and len(head) > 8:
            length = int.from_bytes(head[4:8], order)
            if head[4:6] in (b"UL", b"UI", b"CS", b"DA", b"TM", b"SH", b"LO", b"OB"):
                return True
            return order == "little" and length <= len(head) - 8 and length % 2 == 0
    return False


class _Guarded(io.BufferedReader):
    """A file that gives no more than it has: of a length in a header, Python would first make room for all of it."""

    def __init__(self, path: Path) -> None:
        super().__init__(io.FileIO(os.fspath(path)))  # pydicom adds its name to text
        self._size = os.fstat(self.fileno()).st_size

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or size < 0:
            # pydicom does so in one place: to inflate all that there is, whatever size that has.
            raise InputError("the DICOM file is deflated as a whole; export it uncompressed or with compressed pixels")
        return super().read(min(size, max(0, self._size - self.tell())))


def _check_header(header: Dataset, channels: int, place: float | None) -> None:
    """Raise an InputError where the header's pixels are of a kind or a size that is not read."""
    _check_tags(header)
    _check_colour(header, channels)
    frames = int(header.get("NumberOfFrames") or 1)
    if frames < 1 or (frames > 1 and place is None):
        raise VolumeError(
            "the DICOM file holds more than one frame; export the one that is meant, or of images of one class each "
            "let data.slice choose (0.5: the middle one)"
        )
    rows, columns = int(header.Rows), int(header.Columns)
    if not 0 < rows * columns <= MAX_PIXELS:
        raise InputError(
            f"the DICOM file says it has {columns} x {rows} pixels, and 1 to {MAX_PIXELS:,} are read: export it again"
        )
    _check_bits(header, channels)


def _check_tags(header: Dataset) -> None:
    needed = ("Rows", "Columns", "BitsAllocated", "BitsStored", "PixelRepresentation")
    missing = [tag for tag in needed if header.get(tag) is None]
    if len(missing) == len(needed):
        raise NoImageError(
            "the DICOM file does not say how its pixels are stored, so it is no image; export the image itself"
        )
    if missing:
        raise InputError(
            f"the DICOM file does not say how its pixels are stored ({', '.join(missing)} missing); export it again"
        )


def _check_colour(header: Dataset, channels: int) -> None:
    colour = str(header.get("PhotometricInterpretation") or "").strip()
    if not colour:
        raise InputError(
            "the DICOM file does not say whether bright or dark is zero (PhotometricInterpretation is missing); "
            "export it again"
        )
    if channels > 1 and colour in _GRAY:
        raise ChannelsError("the DICOM file is gray")
    if colour not in (_GRAY if channels == 1 else _RGB) or int(header.get("SamplesPerPixel", 1)) != channels:
        word = colour if colour in _COLOURS else "of another kind"  # whatever else stands there may be anything
        wanted = "gray scale; export it as MONOCHROME1 or MONOCHROME2" if channels == 1 else "RGB; export it as RGB"
        raise InputError(f"the DICOM file is {word}, not {wanted}")


def _check_bits(header: Dataset, channels: int) -> None:
    allocated, depth = int(header.BitsAllocated), int(header.BitsStored)
    if allocated not in (8, 16) or not 1 <= depth <= allocated:
        raise InputError("the DICOM file does not store 8 to 16 bits a pixel; export it so")
    if channels > 1 and (depth != 8 or int(header.PixelRepresentation)):
        raise InputError("the DICOM file is in colour and has not 8 bits from 0 up in each channel; export it so")
    if int(header.get("HighBit", depth - 1)) != depth - 1:
        raise InputError("the DICOM file's bits are not right-aligned (HighBit); export it again")


def _check_length(dataset: Dataset, frames: int) -> None:
    """Refuse uncompressed pixels that are fewer than the header says, or those of several times as many films."""
    samples = int(dataset.get("SamplesPerPixel", 1))
    if dataset.PhotometricInterpretation == "YBR_FULL_422":  # of the second and third, one for two pixels
        samples -= 1
    expected = int(dataset.Rows) * int(dataset.Columns) * samples * int(dataset.BitsAllocated) // 8 * frames
    found = len(dataset.PixelData)
    if found < expected:
        raise InputError(
            f"the DICOM file is cut off: its pixels take {expected:,} bytes and {found:,} are there; copy it again"
        )
    if found >= 2 * expected and expected > 1:
        raise InputError(
            f"the DICOM file holds the pixels of {found // expected:,} films of its size, and says it is one; "
            "export the single radiograph"
        )

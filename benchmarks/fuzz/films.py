"""Fuzz the readers of radiographs: DICOM, PNG, TIFF and other formats of Pillow, from generated seeds."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, TiffImagePlugin
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    RLELossless,
    SecondaryCaptureImageStorage,
)

from benchmarks.fuzz.guard import Inputs, Prepared, Reader
from benchmarks.fuzz.mutations import Random, pick, spoil, spoil_png, spoil_tiff
from sldd.errors import InputError
from sldd.io.mask import read_mask
from sldd.io.radiograph import read_film, read_radiograph
from sldd.rng import stream


def _dicom_seeds() -> list[bytes]:
    random = stream(0, "fuzz", "dicom")
    pixels = random.integers(0, 4096, (24, 20)).astype(np.uint16)
    syntaxes = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, RLELossless)
    seeds = [_dicom(pixels, syntax) for syntax in syntaxes]
    item = Dataset()
    item.LUTDescriptor = [4096, 0, 16]
    item.add_new("LUTData", "OW", np.arange(0, 65536, 16).astype("<u2").tobytes())
    seeds.append(_dicom(pixels, ExplicitVRLittleEndian, VOILUTSequence=[item], PhotometricInterpretation="MONOCHROME1"))
    padding = {"PixelPaddingValue": 0, "PixelPaddingRangeLimit": 900, "PhotometricInterpretation": "MONOCHROME1"}
    seeds += [_dicom(pixels, syntax, **padding) for syntax in (ExplicitVRLittleEndian, RLELossless)]
    seeds.append(_dicom(pixels | (pixels > 2000).astype(np.uint16) << 13, ExplicitVRLittleEndian))  # an overlay
    for syntax, form in ((JPEGBaseline8Bit, "JPEG"), (JPEG2000Lossless, "JPEG2000")):
        frame = io.BytesIO()
        Image.fromarray((pixels >> 4).astype(np.uint8)).save(frame, form, **({"no_jp2": True} if "2" in form else {}))
        data = encapsulate([frame.getvalue()])
        tags = {"BitsStored": 8, "HighBit": 7, "BitsAllocated": 8, "PixelData": data}
        seeds.append(_dicom(pixels.astype(np.uint8), syntax, **tags))
    return seeds


def _dicom(pixels: np.ndarray, syntax: str, **tags: object) -> bytes:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian if syntax == RLELossless else syntax
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = SecondaryCaptureImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = "1.2.3"
    dataset.Rows, dataset.Columns = pixels.shape[:2]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = pixels.itemsize * 8, 12, 11
    dataset.PixelRepresentation, dataset.NumberOfFrames = 0, 1
    dataset.WindowCenter, dataset.WindowWidth, dataset.RescaleSlope, dataset.RescaleIntercept = 2000, 3000, 1, 0
    stored = pixels.dtype.newbyteorder(">" if syntax == ExplicitVRBigEndian else "<")
    dataset.PixelData = pixels.astype(stored).tobytes()
    for tag, value in tags.items():
        setattr(dataset, tag, value)
    if syntax == RLELossless:
        dataset.compress(RLELossless)
    file = io.BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()


def _dicom_films(folder: Path) -> Prepared:
    seeds = _dicom_seeds()
    bare = [seed[seed.index(b"\x08\0\x16\0") :] for seed in seeds[:2]]  # without the file header
    (folder / "film.dcm").write_bytes(seeds[0])

    def make(random: Random) -> Inputs:
        if random.random() < 0.1:
            return {"film.dcm": spoil(pick(random, bare), random)}
        content = pick(random, seeds)
        # Not the preamble: a file under this name is read as DICOM, but most of it would be of no consequence.
        return {"film.dcm": content[:128] + spoil(content[128:], random)}

    return make, lambda: read_radiograph(folder / "film.dcm")


def _raster_seeds() -> dict[str, list[bytes]]:
    random = stream(0, "fuzz", "raster")
    gray = Image.fromarray(random.integers(0, 256, (20, 24)).astype(np.uint8))
    deep = Image.fromarray(random.integers(0, 65536, (20, 24)).astype(np.uint16))
    colour, palette = gray.convert("RGB"), gray.convert("P")
    bits = gray.convert("1")
    pictures = [gray, deep, colour, palette, bits, gray.convert("RGBA"), gray.convert("LA")]
    seeds: dict[str, list[bytes]] = {"png": [], "tiff": [], "other": []}
    for picture in pictures:
        seeds["png"].append(_saved(picture, "PNG"))
        for compression in (None, "tiff_lzw", "tiff_adobe_deflate", "packbits"):
            seeds["tiff"].append(_saved(picture, "TIFF", compression=compression))
    seeds["tiff"] += [
        _saved(bits, "TIFF", compression="group4"),
        _saved(gray, "TIFF", compression="jpeg"),
        _saved(Image.fromarray(random.random((9, 9)).astype(np.float32)), "TIFF"),
        _saved(gray, "TIFF", save_all=True, append_images=[gray, gray]),
    ]
    turned = Image.Exif()
    turned[274] = 6
    seeds["other"].append(_saved(gray, "JPEG", exif=turned))
    white = TiffImagePlugin.ImageFileDirectory_v2()
    white[262], white[274] = 0, 8
    seeds["tiff"] += [_saved(each, "TIFF", tiffinfo=white) for each in (gray, deep)]
    labels = Image.fromarray((np.arange(480).reshape(20, 24) // 100).astype(np.uint8))
    seeds["labels"] = [_saved(labels, "PNG")]
    seeds["png"] += [*seeds["labels"], _saved(labels.convert("P"), "PNG", transparency=1)]
    seeds["png"] += [_saved(gray, "PNG", exif=turned), _saved(deep, "PNG", transparency=7)]
    seeds["png"].append(_saved(gray, "PNG", save_all=True, append_images=[gray.rotate(9), gray.rotate(20)]))
    bombs = [Image.new("L", (8_000, 8_000)), Image.new("1", (30_000, 30_000)), Image.new("I;16", (8_000, 8_000))]
    seeds["bomb"] = [_saved(picture, "PNG") for picture in bombs] + [
        _saved(Image.new("L", (20_000, 20_000)), "TIFF", compression="tiff_adobe_deflate"),
        _saved(Image.new("F", (8_000, 8_000)), "TIFF", compression="tiff_adobe_deflate"),
        _saved(Image.new("RGBA", (8_000, 8_000)), "PNG"),
    ]
    for form in ("JPEG", "GIF", "BMP", "WEBP", "PPM", "TGA", "ICO", "PCX", "SGI", "JPEG2000", "IM", "DDS", "EPS"):
        seeds["other"].append(_saved(gray.convert("RGB") if form in ("EPS", "WEBP") else gray, form))
    return seeds


def _saved(picture: Image.Image, form: str, **options: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, form, **{name: value for name, value in options.items() if value is not None})
    return file.getvalue()


_RASTERS: dict[str, list[bytes]] = {}


def _raster_films(folder: Path) -> Prepared:
    if not _RASTERS:
        _RASTERS.update(_raster_seeds())
    seeds = _RASTERS
    (folder / "film.png").write_bytes(seeds["png"][0])
    (folder / "mask.png").write_bytes(seeds["labels"][0])

    def make(random: Random) -> Inputs:
        what = random.random()
        if what < 0.4:
            content = spoil_png(pick(random, seeds["png"]), random)
        elif what < 0.8:
            content = spoil_tiff(pick(random, seeds["tiff"]), random)
        elif what < 0.998:
            content = spoil(pick(random, [each for kind in ("png", "tiff", "other") for each in seeds[kind]]), random)
        else:
            content = pick(random, seeds["bomb"])
        return {pick(random, ("film.png", "mask.png")): content}

    def read() -> None:
        read_radiograph(folder / "film.png")
        read_mask(folder / "mask.png")

    return make, read


def _colour_films(folder: Path) -> Prepared:
    film = folder / "film.png"
    colour = Image.fromarray(np.random.default_rng(1).integers(0, 256, (20, 24, 3), np.uint8))
    png = [_saved(each, "PNG") for each in (colour, colour.convert("RGBA"), colour.convert("P"))]
    tiff = [_saved(colour, "TIFF", compression=each) for each in (None, "tiff_lzw", "tiff_adobe_deflate", "jpeg")]
    rgb = np.asarray(colour)
    eight = {"BitsStored": 8, "HighBit": 7, "SamplesPerPixel": 3, "PlanarConfiguration": 0}
    frames = eight | {"NumberOfFrames": 3, "PixelData": np.stack([rgb] * 3).tobytes()}
    jpeg = encapsulate([_saved(colour, "JPEG"), _saved(colour, "JPEG")])
    dicom = [
        _dicom(rgb, ExplicitVRLittleEndian, PhotometricInterpretation=kind, **eight) for kind in ("RGB", "YBR_FULL")
    ]
    dicom += [
        _dicom(rgb, syntax, PhotometricInterpretation="RGB", **frames)
        for syntax in (ExplicitVRLittleEndian, RLELossless)
    ]
    two = frames | {"NumberOfFrames": 2, "PixelData": jpeg, "PhotometricInterpretation": "YBR_FULL_422"}
    dicom.append(_dicom(rgb, JPEGBaseline8Bit, **two))
    film.write_bytes(png[0])

    def make(random: Random) -> Inputs:
        what = random.random()
        if what < 0.3:
            content = pick(random, dicom)
            return {film.name: content[:132] + spoil(content[132:], random)}
        if what < 0.65:
            return {film.name: spoil_png(pick(random, png), random)}
        return {film.name: spoil_tiff(pick(random, tiff), random)}

    return make, lambda: read_film(film, 3, 0.5)


READERS = [
    Reader("dicom", _dicom_films, (InputError,), share=14, enclosed=True),
    Reader("raster", _raster_films, (InputError,), share=14, enclosed=True),
    Reader("colour", _colour_films, (InputError,), share=4, enclosed=True),
]

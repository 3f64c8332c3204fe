"""Readers of packages, keys, radiographs, arrays and weights, with seeds made on the spot."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
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

from benchmarks.fuzz.guard import Inputs, Reader
from benchmarks.fuzz.mutations import Random, deep_json, pick, spoil, spoil_png, spoil_tiff, spoil_tree, to_json
from sldd.backbones import build
from sldd.errors import InputError
from sldd.initialise import initialise, layer_fingerprints
from sldd.package.compare import differences
from sldd.package.container import Container, digest, parse, to_bytes
from sldd.package.content import Package
from sldd.package.facts import Claims, Scores
from sldd.package.info import info
from sldd.package.signature import check, generate, read_private, read_public, sign
from sldd.patches import PatchSettings
from sldd.radiograph import read_mask, read_radiograph
from sldd.sources.medmnist import MedMnistSettings, MedMnistSource
from sldd.start import read_weights
from sldd.streams import stream

Prepared = tuple[Callable[[Random], Inputs], Callable[[], object]]
_SIDE = 32


def _package() -> Package:
    random = stream(0, "fuzz", "package")
    network = build("lenet", input_size=_SIDE, norm="batch")
    initialise(network, 0)
    scores = Scores(10, 5, 1, 0.8, 0.6, 0.6857, 0.7)
    bn = [name for name, _ in network.named_buffers() if name.endswith(("running_mean", "running_var"))]
    return Package(
        backbone="lenet",
        norm="batch",
        start="xavier",
        seed=0,
        start_fingerprints=layer_fingerprints(network),
        inner_weights="all",
        momentum=0.0,
        inner_precision="float32",
        mean=120.0,
        deviation=45.0,
        delta=0.45,
        claims=Claims("validation", scores, scores),
        patches=PatchSettings(size=_SIDE, stride=16, score_stride=24, input_size=_SIDE),
        images=torch.from_numpy(random.standard_normal((2, 3, 1, _SIDE, _SIDE), np.float32)),
        labels=torch.eye(3).expand(2, -1, -1),
        rates=torch.full((1, 2), 0.02),
        theta_bn={name: torch.ones_like(network.get_buffer(name)) for name in bn},
    )


def _containers(folder: Path) -> list[Container]:
    """Plain, signed, and with images in 8 bit."""
    from dataclasses import replace

    from sldd.package.encodings import stored

    package = _package()
    images, told = stored(package.images.numpy(), "uint8")
    small = replace(package, images=torch.from_numpy(images), stored=told)
    generate(folder / "our.key")
    plain = package.to_container()
    return [plain, sign(plain, read_private(folder / "our.key"), "Hospital"), small.to_container()]


def _raw_package(folder: Path) -> Prepared:
    seeds = [to_bytes(container) for container in _containers(folder)]
    (folder / "package.safetensors").write_bytes(seeds[0])

    def make(random: Random) -> Inputs:
        content = pick(random, seeds)
        size = int.from_bytes(content[:8], "little")
        what = random.random()
        if what < 0.4:
            changed = spoil(content, random)
        elif what < 0.5:  # all of the changes in the header
            changed = content[:8] + spoil(content[8 : 8 + size], random) + content[8 + size :]
        elif what < 0.9:
            header = to_json(spoil_tree(json.loads(content[8 : 8 + size]), random))
            changed = len(header).to_bytes(8, "little") + header + content[8 + size :]
        elif what < 0.95:
            header = deep_json(random)
            changed = len(header).to_bytes(8, "little") + header + content[8 + size :]
        else:
            changed = int(random.integers(2**63)).to_bytes(8, "little") + content[8:]
        return {"package.safetensors": changed}

    return make, lambda: Package.load(folder / "package.safetensors")


def _whole_package(folder: Path) -> Prepared:
    """Packages whose digest holds: what is wrong is what they say."""
    seeds = _containers(folder)
    path = folder / "package.safetensors"
    path.write_bytes(to_bytes(seeds[1]))
    other = Package.load(path)

    def make(random: Random) -> Inputs:
        seed = pick(random, seeds)
        metadata, tensors = dict(seed.metadata), dict(seed.tensors)
        what = random.random()
        if what < 0.6:
            facts = spoil_tree(json.loads(metadata["facts"]), random)
            text = json.dumps(facts, sort_keys=True, separators=(",", ":"))
            metadata["facts"] = text.encode("utf-8", "replace").decode()
        elif what < 0.65:
            metadata["facts"] = deep_json(random).decode()
        elif what < 0.75 and "signature" in metadata:
            metadata["signature"] = to_json(spoil_tree(json.loads(metadata["signature"]), random)).decode()
        else:
            for _ in range(int(random.integers(1, 4))):
                name = pick(random, sorted(tensors))
                tensors[name] = _spoil_tensor(tensors[name], random)
        if random.random() < 0.9:
            metadata["digest"] = digest(metadata["format"], metadata["facts"], tensors)
        return {path.name: to_bytes(Container(metadata, tensors))}

    def read() -> object:
        package = Package.load(path)
        check(parse(path.read_bytes()))
        return info(path), differences(package, other)

    return make, read


def _spoil_tensor(value: np.ndarray, random: Random) -> np.ndarray:
    what = int(random.integers(6))
    changed = value.copy()
    if what == 0:
        flat = changed.reshape(-1)
        strange = (0, 255, 1) if value.dtype == np.uint8 else (np.nan, np.inf, -np.inf, -1.0, 3e38, 1e-40, 0.0)
        with np.errstate(all="ignore"):
            flat[int(random.integers(flat.size))] = pick(random, strange)
    elif what == 1:
        return changed.reshape(-1)
    elif what == 2:
        return changed[None]
    elif what == 3 and len(changed) > 1:
        return changed[:-1]
    elif what == 4:
        return changed.astype(pick(random, (np.float32, np.float16, np.uint8)), casting="unsafe")
    elif what == 5:
        return np.repeat(changed, int(pick(random, (2, 20))), axis=0) if changed.size < 10**6 else changed
    return changed


def _keys(folder: Path) -> Prepared:
    generate(folder / "k")
    private, public = (folder / "k").read_bytes(), (folder / "k.pub").read_bytes()

    def make(random: Random) -> Inputs:
        return {"k": spoil(private, random), "k.pub": spoil(pick(random, (public, private)), random)}

    def read() -> None:
        refused = 0
        for reads, name in ((read_private, "k"), (read_public, "k.pub")):
            try:
                reads(folder / name)
            except InputError:
                refused += 1
        if refused:
            raise InputError("a key was refused")

    return make, read


def _dicom_seeds() -> list[bytes]:
    random = stream(0, "fuzz", "dicom")
    pixels = random.integers(0, 4096, (24, 20)).astype(np.uint16)
    syntaxes = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, RLELossless)
    seeds = [_dicom(pixels, syntax) for syntax in syntaxes]
    item = Dataset()
    item.LUTDescriptor = [4096, 0, 16]
    item.add_new("LUTData", "OW", np.arange(0, 65536, 16).astype("<u2").tobytes())
    seeds.append(_dicom(pixels, ExplicitVRLittleEndian, VOILUTSequence=[item], PhotometricInterpretation="MONOCHROME1"))
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
    dataset.Rows, dataset.Columns = pixels.shape
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
    (folder / "film.dcm").write_bytes(seeds[0])

    def make(random: Random) -> Inputs:
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
    for name in ("film.png", "mask.png"):
        (folder / name).write_bytes(seeds["png"][0])

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


def _arrays(folder: Path) -> Prepared:
    random = stream(0, "fuzz", "arrays")
    arrays: dict[str, Any] = {}
    for part in ("train", "val", "test"):
        arrays[f"{part}_images"] = random.integers(0, 256, (4, 8, 8)).astype(np.uint8)
        arrays[f"{part}_labels"] = random.integers(0, 2, (4, 1)).astype(np.uint8)
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    whole = file.getvalue()
    (folder / "arrays.npz").write_bytes(whole)
    pickled = io.BytesIO()
    np.save(pickled, np.array([Path("x")], object), allow_pickle=True)

    def make(random: Random) -> Inputs:
        if random.random() < 0.4:
            return {"arrays.npz": spoil(whole, random)}
        members = {}
        for name, value in arrays.items():
            member = io.BytesIO()
            np.save(member, value)
            members[f"{name}.npy"] = member.getvalue()
        name = pick(random, sorted(members))
        what = int(random.integers(6))
        if what == 0:
            members[name] = pickled.getvalue()
        elif what == 1:
            members[name] = _npy(pick(random, _HEADERS), bytes(int(pick(random, (0, 64, 20_000_000)))))
        elif what == 2:
            array = arrays[name[:-4]]
            member = io.BytesIO()
            np.save(member, _odd_array(array, random))
            members[name] = member.getvalue()
        elif what == 3:
            del members[name]
        elif what == 4:
            members["../outside/x.npy"] = members[name]
        else:
            members[name] = spoil(members[name], random)
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            for member_name, content in members.items():
                archive.writestr(member_name, content)
        return {"arrays.npz": file.getvalue()}

    return make, lambda: MedMnistSource(folder / "arrays.npz", MedMnistSettings(), 8).fingerprint()


_HEADERS = (
    "{'descr': '|u1', 'fortran_order': False, 'shape': (100000000000,)}",
    "{'descr': '|u1', 'fortran_order': False, 'shape': (5000, 2000, 2000)}",
    "{'descr': '|u1', 'fortran_order': False, 'shape': (20000000, 1, 1)}",
    "{'descr': '<i8', 'fortran_order': False, 'shape': (4, 0)}",
    "{'descr': '|u1', 'fortran_order': False, 'shape': (4, 0, 8)}",
    "{'descr': '|u1', 'fortran_order': False, 'shape': (20000000, 0, 1)}",
    "{'descr': '|u1', 'fortran_order': False, 'shape': (-1, 8, 8)}",
    "{'descr': '|V0', 'fortran_order': False, 'shape': (2**62,)}",
    "{'descr': '|O', 'fortran_order': False, 'shape': (1,)}",
    "{'descr': '|u1', 'fortran_order': False, 'shape': " + "(" * 500 + ")" * 500 + "}",
)


def _npy(header: str, body: bytes) -> bytes:
    text = header.encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + body


def _odd_array(array: np.ndarray, random: Random) -> np.ndarray:
    shapes = ((0,), (4,), (4, 0), (4, 1), (4, 2), (4, 8, 8), (0, 8, 8), (4, 0, 8), (4, 1, 8, 8), ())
    kind = pick(random, ("u1", "i1", "i8", "u8", "f4", "f8", "c8", "?", "U3", "S2", "M8[s]"))
    values = np.zeros(pick(random, shapes), kind)
    if values.size and values.dtype.kind in "iuf" and random.random() < 0.5:
        with np.errstate(all="ignore"):
            values.reshape(-1)[0] = pick(random, (1, 100, 127))
        if values.dtype.itemsize == 8 and values.dtype.kind in "iu" and random.random() < 0.5:
            values.reshape(-1)[0] = pick(random, (2**31, 10**7, 2**62))
    return values


def _weights(folder: Path) -> Prepared:
    from safetensors.torch import save

    network = build("lenet", input_size=_SIDE, norm="as_is")
    state = {name: value.detach() for name, value in network.named_parameters()}
    torch.save(state, folder / "start.pt")
    torch.save({"state_dict": state, "model": network}, folder / "model.pt")  # asks to make objects: never read
    torch.save(state, folder / "old.pt", _use_new_zipfile_serialization=False)
    (folder / "start.safetensors").write_bytes(save(state))
    seeds = {
        "start.pt": [(folder / name).read_bytes() for name in ("start.pt", "old.pt", "model.pt")],
        "start.safetensors": [(folder / "start.safetensors").read_bytes()],
    }
    (folder / "model.pt").unlink()

    def make(random: Random) -> Inputs:
        name = pick(random, sorted(seeds))
        return {name: spoil(pick(random, seeds[name]), random)}

    def read() -> None:
        for name in seeds:
            read_weights("lenet", str(folder / name))

    return make, read


_REFUSALS = (InputError,)
READERS = [
    Reader("package", _raw_package, _REFUSALS, share=20, enclosed=True),
    Reader("package-facts", _whole_package, _REFUSALS, share=12, enclosed=True),
    Reader("key", _keys, _REFUSALS, share=4, enclosed=True),
    Reader("dicom", _dicom_films, _REFUSALS, share=14, enclosed=True),
    Reader("raster", _raster_films, _REFUSALS, share=14, enclosed=True),
    Reader("npz", _arrays, _REFUSALS, share=8, enclosed=True),
    Reader("weights", _weights, _REFUSALS, share=6, enclosed=True),
]

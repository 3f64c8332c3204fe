"""Fuzz the readers of MedMNIST archives, arrays and NIfTI volumes with files that are not what they say."""

from __future__ import annotations

import gzip
import io
import struct
import zipfile
from pathlib import Path
from typing import Any

import nibabel
import numpy as np

from benchmarks.fuzz.guard import Inputs, Prepared, Reader
from benchmarks.fuzz.mutations import Random, pick, spoil
from sldd.errors import InputError
from sldd.io.radiograph import read_film
from sldd.rng import stream
from sldd.sources.medmnist import MedMnistSettings, MedMnistSource


def _arrays(folder: Path) -> Prepared:
    """A MedMNIST archive: an .npz file, which is a ZIP file of one .npy file for each array."""
    random = stream(0, "fuzz", "arrays")
    arrays: dict[str, Any] = {}
    for part in ("train", "val", "test"):
        arrays[f"{part}_images"] = random.integers(0, 256, (4, 8, 8)).astype(np.uint8)
        arrays[f"{part}_labels"] = random.integers(0, 2, (4, 1)).astype(np.uint8)
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    whole = file.getvalue()
    (folder / "arrays.npz").write_bytes(whole)

    def make(random: Random) -> Inputs:
        if random.random() < 0.4:
            return {"arrays.npz": spoil(whole, random)}
        members = {f"{name}.npy": _saved(value) for name, value in arrays.items()}
        _spoil_member(members, random)
        return {"arrays.npz": _zipped(members)}

    return make, lambda: MedMnistSource(folder / "arrays.npz", MedMnistSettings(), 8).fingerprint()


def _spoil_member(members: dict[str, bytes], random: Random) -> None:
    """Spoil one member of an archive, remove it, or add it under a name that leads outside."""
    name = pick(random, sorted(members))
    what = int(random.integers(6))
    if what == 0:
        members[name] = _PICKLED
    elif what == 1:
        members[name] = _lying_npy(pick(random, _HEADERS), random)
    elif what == 2:
        members[name] = _saved(_odd_array(random))
    elif what == 3:
        del members[name]
    elif what == 4:
        members["../outside/x.npy"] = members[name]
    else:
        members[name] = spoil(members[name], random)


def _saved(array: np.ndarray) -> bytes:
    """A .npy file; of objects, with their pickles."""
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()


_PICKLED = _saved(np.array([Path("x")], object))
"""An array of objects, which whoever unpickles it makes."""


def _zipped(members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def _volumes(folder: Path) -> Prepared:
    """Films as .npy and NIfTI files, one of which an input has."""
    values = stream(0, "fuzz", "volumes").integers(-1000, 1000, (12, 10, 8)).astype(np.int16)
    nifti = nibabel.Nifti1Image(values, np.eye(4)).to_bytes()
    other = nibabel.Nifti2Image(values.astype(np.float32), np.eye(4)).to_bytes()
    names = ("film.npy", "film.nii", "film.nii.gz")

    def make(random: Random) -> Inputs:
        name = pick(random, names)
        if name == "film.npy":
            content = _spoiled_npy(values, random)
        else:
            content = _spoiled_nifti(pick(random, (nifti, other)), random)
            if name.endswith(".gz"):
                content = gzip.compress(content, 1)
                content = spoil(content, random) if random.random() < 0.2 else content
        return {**dict.fromkeys(names), name: content}

    def read() -> None:
        for name in names:
            if (folder / name).exists():
                read_film(folder / name, 1, 0.5)

    return make, read


def _spoiled_npy(values: np.ndarray, random: Random) -> bytes:
    if random.random() < 0.3:
        return _lying_npy(pick(random, _HEADERS).replace("|u1", pick(random, ("|u1", "<f4", "<c8", "|b1"))), random)
    if random.random() < 0.3:
        return _saved(_odd_array(random))
    return spoil(_saved(values), random)


def _spoiled_nifti(content: bytes, random: Random) -> bytes:
    """A NIfTI file with changes in its header (348 bytes in version 1, 540 in version 2), and perhaps elsewhere."""
    changed = bytearray(content)
    for _ in range(int(random.integers(4))):  # of the header, where most says something
        changed[int(random.integers(540))] = int(random.integers(256))
    if random.random() < 0.1:  # an extension that goes on to where the values are said to begin (both of version 1)
        changed[108:112] = np.float32(3e9).tobytes()
        changed[348:360] = struct.pack("<3i", 1, int(pick(random, (0, 16, 2**31 - 16))), 6)
        changed += bytes(int(pick(random, (0, 100_000_000))))
    return spoil(bytes(changed), random) if random.random() < 0.3 else bytes(changed)


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


def _lying_npy(header: str, random: Random) -> bytes:
    """A .npy file (version 1.0) of no, few or many zeros, whatever its header says."""
    text = header.encode() + b"\n"
    body = bytes(int(pick(random, (0, 64, 20_000_000))))
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + body


def _odd_array(random: Random) -> np.ndarray:
    """An array of some shape and type, of zeros but perhaps for the first value."""
    shapes = ((0,), (4,), (4, 0), (4, 1), (4, 2), (4, 8, 8), (0, 8, 8), (4, 0, 8), (4, 1, 8, 8), (4, 8, 8, 3), ())
    kind = pick(random, ("u1", "i1", "i8", "u8", "f4", "f8", "c8", "?", "U3", "S2", "M8[s]"))
    values = np.zeros(pick(random, shapes), kind)
    if values.size and values.dtype.kind in "iuf" and random.random() < 0.5:
        with np.errstate(all="ignore"):
            values.reshape(-1)[0] = pick(random, (1, 100, 127))
        if values.dtype.itemsize == 8 and values.dtype.kind in "iu" and random.random() < 0.5:
            values.reshape(-1)[0] = pick(random, (2**31, 10**7, 2**62))
    return values


READERS = [
    Reader("npz", _arrays, (InputError,), share=8, enclosed=True),
    Reader("volumes", _volumes, (InputError,), share=8, enclosed=True),
]

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


def _volumes(folder: Path) -> Prepared:
    values = stream(0, "fuzz", "volumes").integers(-1000, 1000, (12, 10, 8)).astype(np.int16)
    nifti = nibabel.Nifti1Image(values, np.eye(4)).to_bytes()
    other = nibabel.Nifti2Image(values.astype(np.float32), np.eye(4)).to_bytes()
    array = io.BytesIO()
    np.save(array, values)

    def make(random: Random) -> Inputs:
        name = pick(random, ("film.npy", "film.nii", "film.nii.gz"))
        if name == "film.npy":
            if random.random() < 0.3:
                header = pick(random, _HEADERS).replace("|u1", pick(random, ("|u1", "<f4", "<c8", "|b1")))
                content = _npy(header, bytes(int(pick(random, (0, 64, 20_000_000)))))
            elif random.random() < 0.3:
                member = io.BytesIO()
                np.save(member, _odd_array(values, random))
                content = member.getvalue()
            else:
                content = spoil(array.getvalue(), random)
        else:
            changed = bytearray(pick(random, (nifti, other)))
            for _ in range(int(random.integers(4))):  # of the header, where most says something
                changed[int(random.integers(540))] = int(random.integers(256))
            if random.random() < 0.1:  # an extension that goes on to where the values are said to begin
                changed[108:112] = np.float32(3e9).tobytes()
                changed[348:360] = struct.pack("<3i", 1, int(pick(random, (0, 16, 2**31 - 16))), 6)
                changed += bytes(int(pick(random, (0, 100_000_000))))
            content = spoil(bytes(changed), random) if random.random() < 0.3 else bytes(changed)
            if name.endswith(".gz"):
                content = gzip.compress(content, 1)
                content = spoil(content, random) if random.random() < 0.2 else content
        return {**dict.fromkeys(("film.npy", "film.nii", "film.nii.gz")), name: content}

    def read() -> None:
        for name in ("film.npy", "film.nii", "film.nii.gz"):
            if (folder / name).exists():
                read_film(folder / name, 1, 0.5)

    return make, read


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

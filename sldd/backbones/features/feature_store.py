"""Features kept on disk: write-once files of arrays by key, memory-mapped, the least recently used going first.

A key is a digest of all that decides the features (``sldd.ops.digest``), so a file is right or is not found. It appears
whole, by a rename, and is compared with its own digest when it is opened: what a kill or a full disk left is made anew.
Of two writers, the later one replaces the same bytes. Features are made of patients' films: only the user reads them.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch

Arrays = dict[str, torch.Tensor]
_ENDING, _DRAFT = ".features", ".draft"
_DIGEST, _LENGTH = 32, 8  # bytes at a file's end: of the digest, and before it of the index's length
_ALIGNED = 64  # bytes at which arrays begin
_ABANDONED = 3600.0
"""Seconds after which a draft that nobody writes to is what a kill left."""
_AT_ONCE = 2**24


class Draft:
    """A file as it is written: rows of ``features`` one batch after the other, then the other arrays.

    Args:
        file: where bytes go; None writes nothing, for whoever has no store or one that has failed.
        limit: bytes that the file may have.

    Attributes:
        error: why the file is not whole; None while it is.
    """

    def __init__(self, file: BinaryIO | None, limit: int = 0) -> None:
        self._file, self._limit, self._sum = file, limit, hashlib.sha256()
        self._rows, self._length, self._like = 0, 0, torch.empty(0)
        self.error: OSError | None = None

    def append(self, features: torch.Tensor) -> None:
        """Write some rows more."""
        self._rows, self._like = self._rows + len(features), features
        self._write(_bytes(features))

    def finish(self, **others: torch.Tensor) -> None:
        """Write the other arrays, and what is where."""
        shapes = {"features": [str(_numpy_type(self._like)), [self._rows, *self._like.shape[1:]]]}
        for name, array in others.items():
            shapes[name] = [str(_numpy_type(array)), list(array.shape)]
            self._write(bytes(-self._length % _ALIGNED))
            self._write(_bytes(array))
        index = json.dumps(shapes).encode()
        self._write(index + len(index).to_bytes(_LENGTH, "little"))
        self._write(self._sum.digest())

    def _write(self, content: bytes | memoryview) -> None:
        """After the first write that fails, none is tried."""
        if self._file is None or self.error is not None:
            return
        self._sum.update(content)
        self._length += len(content)
        if self._length > self._limit:
            self.error = OSError(errno.EFBIG, f"more than the {self._limit / 2**30:.3g} GiB of resources.feature_cache")
            return
        try:
            self._file.write(content)
        except OSError as error:
            self.error = error


class FeatureStore:
    """Features by key in a folder.

    Args:
        folder: made where it is missing.
        limit: bytes of all files together.

    Attributes:
        trouble: why nothing is kept any more, in a line; None while all is well.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self._folder, self._limit = folder, limit
        self._opened: dict[str, Arrays] = {}
        self.trouble: str | None = None
        self._said = ""

    def check(self) -> str | None:
        """``trouble``, after a file was written and removed."""
        with self.writing("check") as draft:
            draft.finish()
        with suppress(OSError):
            (self._folder / f"check{_ENDING}").unlink()
        return self.trouble

    def read(self, key: str) -> Arrays | None:
        """The arrays of a key, memory-mapped; None where there is no such file or it is not whole."""
        path = self._folder / f"{key}{_ENDING}"
        if key not in self._opened:
            try:
                found = _open(path)
            except (OSError, ValueError, KeyError, TypeError):
                return None
            self._opened[key] = found
        try:
            os.utime(path)
        except FileNotFoundError:  # removed for others' sake: its disk space is free once nobody has it mapped
            return self._opened.pop(key)
        except OSError:
            pass
        return self._opened[key]

    @contextmanager
    def writing(self, key: str) -> Iterator[Draft]:
        """A draft that is kept under a key where the ``with`` block ends without an error, and its disk had room."""
        path = self._folder / f".{uuid.uuid4().hex}{_DRAFT}"
        file = None
        try:
            if self.trouble is None:
                self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                file = open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")  # noqa: PTH123, SIM115
        except OSError as error:
            self._give_up(error)
        try:
            yield (draft := Draft(file, self._limit))
            if file is None:
                return
            try:
                if draft.error is not None:
                    raise draft.error
                file.flush()
                os.fsync(file.fileno())
                path.replace(self._folder / f"{key}{_ENDING}")
                self._make_room()
            except OSError as error:
                self._give_up(error)
        finally:
            with suppress(OSError):
                if file is not None:
                    file.close()
                path.unlink(missing_ok=True)

    def _give_up(self, error: OSError) -> None:
        said = f"features are not kept in {self._folder} ({error.strerror}) but worked out each time"
        if error.errno != errno.EFBIG:  # others may be smaller
            self.trouble = said
        if said != self._said:
            logging.getLogger(__name__).warning(said)
        self._said = said

    def _make_room(self) -> None:
        """Remove the files that were used longest ago, and drafts that a kill left."""
        files, total = [], 0
        for entry in os.scandir(self._folder):
            with suppress(OSError):
                stat = entry.stat()
                if entry.name.endswith(_ENDING):
                    files.append((stat.st_mtime_ns, entry.path))
                    total += stat.st_size
                elif entry.name.endswith(_DRAFT) and time.time() - stat.st_mtime > _ABANDONED:
                    Path(entry.path).unlink()
        for _, path in sorted(files):
            if total <= self._limit:
                return
            with suppress(OSError):
                total -= Path(path).stat().st_size
                Path(path).unlink()  # whoever has it mapped keeps it
                self._opened.pop(Path(path).name.removesuffix(_ENDING), None)


def _open(path: Path) -> Arrays:
    """Raise a ValueError, KeyError or TypeError where the file is not as it was written."""
    # Copy on write: PyTorch warns of memory that is read-only. Nothing writes to it.
    content = np.memmap(path, dtype=np.uint8, mode="c")
    data, kept = content[:-_DIGEST], content[-_DIGEST:].tobytes()
    found = hashlib.sha256()
    for begin in range(0, len(data), _AT_ONCE):
        found.update(data[begin : begin + _AT_ONCE].data)
    if found.digest() != kept:
        raise ValueError("torn")
    end = len(data) - _LENGTH
    size = int.from_bytes(data[end:].tobytes(), "little")
    arrays, begin = {}, 0
    for name, (kind, shape) in json.loads(data[end - size : end].tobytes()).items():
        length = int(np.prod(shape, dtype=np.int64)) * np.dtype(kind).itemsize
        arrays[name] = torch.from_numpy(data[begin : begin + length].view(kind).reshape(shape))
        begin += length + -length % _ALIGNED
    return arrays


def _numpy_type(tensor: torch.Tensor) -> np.dtype:
    return np.dtype(str(tensor.dtype).removeprefix("torch."))


def _bytes(tensor: torch.Tensor) -> memoryview:
    return tensor.detach().cpu().contiguous().numpy().reshape(-1).view(np.uint8).data

"""Broadcast of cohorts and weight files to worker nodes through Ray's object store, once a node.

So neither has to lie where other machines see it. Decoded films are patient data: each node keeps them in the cache
folder of the user that runs trials, as the driver's own machine does.
"""

from __future__ import annotations

import fcntl
import json
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import ray

from sldd.data.cohort import INDEX, Cohort, open_decoded
from sldd.errors import InputError
from sldd.io.atomic_file import sync
from sldd.io.film import file_digest

_PIECE = 64 * 2**20  # bytes of a file in one object, since each object has to fit into a small machine's store whole


@dataclass(frozen=True)
class SharedFile:
    """A file in Ray's object store."""

    name: str
    """A weight file's ``<digest of its content>-<its own name>``; a cohort file's name in the cohort's folder."""
    pieces: list[Any]
    """Object references of its content (uint8 arrays of ``_PIECE`` bytes, the last one shorter), in order."""


@dataclass(frozen=True)
class SharedCohort:
    """A decoded cohort in Ray's object store."""

    name: str
    """Name of its folder in a cache."""
    index: dict[str, Any]
    """Content of its ``INDEX`` file."""
    files: list[SharedFile]
    """Pixels and masks."""


@dataclass(frozen=True)
class Shared:
    """Everything that is shared."""

    cohorts: dict[str, SharedCohort]
    """By fingerprint."""
    files: dict[str, SharedFile]
    """Weight files by their path on the driver's machine."""


def share(cohorts: Iterable[Cohort], files: Iterable[str]) -> Shared:
    """Put decoded films and weight files into Ray's object store."""
    return Shared(
        {cohort.fingerprint: _shared(cohort) for cohort in cohorts},
        {path: SharedFile(_cache_name(Path(path)), _pieces(Path(path))) for path in files},
    )


def _shared(cohort: Cohort) -> SharedCohort:
    index = {name: value for name, value in asdict(cohort).items() if name != "folder"}
    parts = [SharedFile(name, _pieces(cohort.folder / name)) for name in ("pixels.bin", "masks.bin")]
    return SharedCohort(cohort.folder.name, index, parts)


def _pieces(path: Path) -> list[Any]:
    """Put a file into the object store; returns the references of its pieces."""
    if not path.stat().st_size:  # masks, where films have none; an empty file cannot be mapped
        return []
    content = np.memmap(path, dtype=np.uint8, mode="r")
    return [ray.put(np.array(content[start : start + _PIECE])) for start in range(0, len(content), _PIECE)]


def fetch_cohort(shared: SharedCohort, cache: Path) -> Cohort:
    """Open a shared cohort on this machine; the first trial that asks brings it here, and the others wait.

    Args:
        cache: folder of decoded films.

    Raises:
        InputError: there is no room for it.
    """

    def fill(folder: Path) -> None:
        for file in shared.files:
            _write(file, folder / file.name)
        (folder / INDEX).write_text(json.dumps(shared.index))

    return open_decoded(_filled_once(shared.name, cache, fill))


def fetch_file(shared: SharedFile, cache: Path) -> Path:
    """Path of a shared weight file on this machine; the first trial that asks brings it here.

    The file has its own name, in a folder ``file-<digest>-<name>`` of the cache.

    Raises:
        InputError: there is no room for it.
    """
    name = shared.name.partition("-")[2]
    return _filled_once(f"file-{shared.name}", cache, lambda folder: _write(shared, folder / name)) / name


def is_same(shared: SharedFile, path: Path) -> bool:
    """Whether a file on this machine has the content of a shared weight file, by their digests."""
    return path.is_file() and _cache_name(path).partition("-")[0] == shared.name.partition("-")[0]


def _cache_name(path: Path) -> str:
    """``<digest of the content>-<name>``: weight files of one name do not meet in a cache."""
    return f"{file_digest(path)[:16]}-{path.name}"


def _write(shared: SharedFile, path: Path) -> None:
    with path.open("wb") as file:
        for piece in shared.pieces:
            file.write(ray.get(piece))


def _filled_once(name: str, cache: Path, fill: Callable[[Path], None]) -> Path:
    """Path of a folder in the cache, filled by the first process on this machine that asks for it.

    Others wait for a lock meanwhile. The folder is filled under another name and renamed, so that it is whole or not
    there, whenever a process is killed.

    Args:
        fill: writes the content into the empty folder that it is given.

    Raises:
        InputError: there is no room for it.
    """
    folder = cache / name
    try:
        cache.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (cache / f".{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if folder.is_dir():
                return folder
            scratch = Path(tempfile.mkdtemp(prefix=".fetching-", dir=cache))
            try:
                fill(scratch)
                sync(scratch)
                scratch.rename(folder)
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
    except OSError as error:
        raise InputError(
            f"data.cache: {socket.gethostname()} cannot keep the cohort in {cache} ({error.strerror}); "
            "make room there, or name a folder on a larger disk"
        ) from None
    return folder

"""Broadcast of cohorts and weight files to worker nodes through Ray's object store, once a node.

Everything goes through Ray's object store, so none of it needs to lie where other machines see it: they keep decoded
films, which are patient data, in the cache folder of the user that runs trials, as the driver's own machine does.
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

_PIECE = 64 * 2**20  # bytes of a file in one object: more would have to fit into a small machine's store


@dataclass(frozen=True)
class SharedFile:
    """A file in Ray's object store."""

    name: str
    """Of it in a cache folder: its content's digest and its own."""
    pieces: list[Any]
    """Object references."""


@dataclass(frozen=True)
class SharedCohort:
    """A cohort in Ray's object store."""

    name: str
    index: dict[str, Any]
    files: list[SharedFile]


@dataclass(frozen=True)
class Shared:
    """Everything shared: cohorts, and weight files by their path on the driver's machine."""

    cohorts: dict[str, SharedCohort]
    """By fingerprint."""
    files: dict[str, SharedFile]


def share(cohorts: Iterable[Cohort], files: Iterable[str]) -> Shared:
    """Put decoded films and weight files into Ray's object store."""
    return Shared(
        {cohort.fingerprint: _shared(cohort) for cohort in cohorts},
        {path: SharedFile(_named(Path(path)), _pieces(Path(path))) for path in files},
    )


def _shared(cohort: Cohort) -> SharedCohort:
    index = {name: value for name, value in asdict(cohort).items() if name != "folder"}
    parts = [SharedFile(name, _pieces(cohort.folder / name)) for name in ("pixels.bin", "masks.bin")]
    return SharedCohort(cohort.folder.name, index, parts)


def _pieces(path: Path) -> list[Any]:
    if not path.stat().st_size:  # masks, where films have none; an empty file cannot be mapped
        return []
    content = np.memmap(path, dtype=np.uint8, mode="r")
    return [ray.put(np.array(content[at : at + _PIECE])) for at in range(0, len(content), _PIECE)]


def fetch_cohort(shared: SharedCohort, cache: Path) -> Cohort:
    """Open a shared cohort on this machine; the first trial that asks brings it here, and the others wait.

    Args:
        cache: where decoded films are kept.

    Raises:
        InputError: there is no room for it.
    """

    def bring(scratch: Path) -> None:
        for file in shared.files:
            _write(file, scratch / file.name)
        (scratch / INDEX).write_text(json.dumps(shared.index))

    return open_decoded(_once(shared.name, cache, bring))


def fetch_file(shared: SharedFile, cache: Path) -> Path:
    """A shared file on this machine, under its own name; the first trial that asks brings it here.

    Raises:
        InputError: there is no room for it.
    """
    name = shared.name.partition("-")[2]
    return _once(f"file-{shared.name}", cache, lambda scratch: _write(shared, scratch / name)) / name


def is_same(shared: SharedFile, path: Path) -> bool:
    """Whether a file on this machine has the content of a shared one."""
    return path.is_file() and _named(path).partition("-")[0] == shared.name.partition("-")[0]


def _named(path: Path) -> str:
    return f"{file_digest(path)[:16]}-{path.name}"


def _write(shared: SharedFile, path: Path) -> None:
    with path.open("wb") as file:
        for piece in shared.pieces:
            file.write(ray.get(piece))


def _once(name: str, cache: Path, bring: Callable[[Path], None]) -> Path:
    """A cache folder, filled by the first process on this machine that asks for it."""
    folder = cache / name
    try:
        cache.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (cache / f".{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if folder.is_dir():
                return folder
            scratch = Path(tempfile.mkdtemp(prefix=".fetching-", dir=cache))
            try:
                bring(scratch)
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

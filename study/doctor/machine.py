"""What a machine tells of itself: versions, storage, disks, GPUs, memory, a step's time, a trial's.

Everything here runs on the machine itself, and nothing here judges.
"""

from __future__ import annotations

import errno
import hashlib
import os
import platform
import re
import shutil
import socket
import statistics
import time
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from ledger.storage import open_folder, write_whole
from sldd.backbones.init import initialise
from sldd.backbones.registry import build
from sldd.data.cohort import default_cache
from sldd.data.settings import DataSettings
from study.cluster.nodes import SAME_EVERYWHERE
from study.cluster.ray_temporary import temporary_folder
from study.config.paths import cache_folder
from study.doctor.facts import Room
from study.trial.context import TrialContext
from study.trial.worker import run_with_retries

_ROOMS = ("analysis", "ledger", "sldd", "study")
_STEPS = 7


class Examiner:
    """One machine's answers, from a process that stays there between questions.

    Args:
        gpu: whether steps are taken on its GPU.
        threads: of PyTorch, as trials have.
    """

    def __init__(self, gpu: bool, threads: int) -> None:
        torch.set_num_threads(threads)
        self._gpu = gpu

    def now(self) -> float:
        """Its clock."""
        return time.time()

    def told(self, out: str, cache: str | None) -> dict[str, Any]:
        """Fields of ``Machine``: versions, disks, devices, shared memory.

        Args:
            out, cache: ``--out`` and ``data.cache``.
        """
        folders = {"studies": out, "cache": cache or str(default_cache()), "ray": str(temporary_folder()[1])}
        return {
            "versions": _versions(),
            "rooms": {kind: room for kind, folder in folders.items() if (room := _room(folder)) is not None},
            "devices": sum(bool(re.fullmatch(r"nvidia\d+", path.name)) for path in Path("/dev").iterdir()),
            "cuda": torch.cuda.is_available(),
            "shared": room.total if (room := _room("/dev/shm")) and Path("/dev/shm").is_dir() else None,
        }

    def write(self, path: str) -> str | None:
        """Write a file of its own, in a folder that is there already; why it cannot."""
        return _reason(lambda: write_whole(open_folder(path), socket.gethostname()))

    def unread(self, paths: Mapping[str, str]) -> dict[str, str]:
        """Of the files that others wrote, by those others: which it cannot read, and why."""
        reasons = {other: _reason(open_folder(path).read_bytes) for other, path in paths.items()}
        return {other: reason for other, reason in reasons.items() if reason is not None}

    def step(self) -> float:
        """Seconds of a training step: a GPU's, or what the processor itself took, whatever else runs there."""
        device = torch.device("cuda" if self._gpu else "cpu")
        network = build("resnet18", input_size=64, classes=3)
        initialise(network, 0)
        network.to(device).train()
        patches, truth = torch.zeros(16, 1, 64, 64, device=device), torch.arange(16, device=device) % 3
        clock = time.perf_counter if self._gpu else time.process_time
        taken = []
        for _ in range(_STEPS):
            begun = clock()
            F.cross_entropy(network(patches), truth).backward()
            if self._gpu:
                torch.cuda.synchronize()
            taken.append(clock() - begun)
        return statistics.median(taken)

    def trial(self, config: dict[str, Any], context: TrialContext) -> float:
        """Run a trial as a study's worker does; its seconds.

        Raises:
            Exception: whatever the trial raised.
        """
        begun = time.monotonic()
        for _ in run_with_retries(config, context):
            pass
        return time.monotonic() - begun

    def forget(self, data: DataSettings, cohort: str) -> None:
        """Delete a cohort that was brought here."""
        folder = cache_folder(data)
        shutil.rmtree(folder / cohort, ignore_errors=True)
        (folder / f".{cohort}.lock").unlink(missing_ok=True)


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in SAME_EVERYWHERE:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "missing"
    return found | {"sldd-study": f"{found['sldd-study']} of source {_source()}"}


def _source() -> str:
    """Digest of this project's source as it is imported here, a checkout's or an installed one."""
    root, content = Path(__file__).parents[2], hashlib.sha256()
    for path in sorted(path for room in _ROOMS for path in (root / room).rglob("*.py")):
        content.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return content.hexdigest()[:10]


def _room(folder: str) -> Room | None:
    """Of a folder's disk, or of that on which it would be made; None for an object store."""
    where = open_folder(folder)
    if not isinstance(where, Path):
        return None
    there = next(path for path in (where, *where.parents) if os.access(path, os.F_OK))
    disk = shutil.disk_usage(there)
    return Room(str(where), disk.free, disk.total)


def _reason(act: Callable[[], object]) -> str | None:
    """Why it failed, without the names of files."""
    try:
        act()
    except FileNotFoundError:
        return "there is none"
    except OSError as error:
        return error.strerror or errno.errorcode.get(error.errno or 0, type(error).__name__)
    except Exception as error:  # every object store has its own kinds
        return str(error).splitlines()[0] if str(error) else type(error).__name__
    return None

"""What a machine tells of itself: versions, storage, disks, GPUs, memory, times of a training step and of a trial.

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

_OWN_PACKAGES = ("analysis", "ledger", "sldd", "study")
_STEPS = 7  # training steps that are timed; their median counts


class Examiner:
    """Examines the machine that it runs on, as an actor (a process that stays there between questions).

    Args:
        gpu: take training steps on the machine's GPU.
        threads: threads of PyTorch, as many as trials have.
    """

    def __init__(self, gpu: bool, threads: int) -> None:
        torch.set_num_threads(threads)
        self._gpu = gpu

    def now(self) -> float:
        """The machine's clock, in seconds since the epoch."""
        return time.time()

    def told(self, out: str, cache: str | None) -> dict[str, Any]:
        """Fields of ``Machine`` that need no test: versions, disks, GPUs, shared memory.

        Args:
            out: ``--out``.
            cache: ``data.cache``; None where it is not set.
        """
        folders = {"studies": out, "cache": cache or str(default_cache()), "ray": str(temporary_folder()[1])}
        rooms = {kind: _room(folder) for kind, folder in folders.items()}
        shared = _room("/dev/shm") if Path("/dev/shm").is_dir() else None
        return {
            "versions": _versions(),
            "rooms": {kind: room for kind, room in rooms.items() if room is not None},
            "devices": sum(_allowed(path) for path in Path("/dev").iterdir() if re.fullmatch(r"nvidia\d+", path.name)),
            "cuda": torch.cuda.is_available(),
            "shared": None if shared is None else shared.total,
        }

    def write(self, path: str) -> str | None:
        """Write a file into a folder that is there already; returns why that failed, None where it did not."""
        return _reason(lambda: write_whole(open_folder(path), socket.gethostname()))

    def unread(self, paths: Mapping[str, str]) -> dict[str, str]:
        """Read the files that others wrote, given by their names; returns the reasons for those that cannot be read."""
        reasons = {other: _reason(open_folder(path).read_bytes) for other, path in paths.items()}
        return {other: reason for other, reason in reasons.items() if reason is not None}

    def step(self) -> float:
        """Seconds of one training step, forward and backward: wall-clock time on a GPU, else CPU time.

        The network is a ResNet-18 on 16 patches of 64 x 64 pixels. CPU time is that of this process, whatever else runs
        there.
        """
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
        """Run a trial as a study's worker does; returns the seconds that it took.

        Raises:
            Exception: whatever the trial raised.
        """
        begun = time.monotonic()
        for _ in run_with_retries(config, context):
            pass
        return time.monotonic() - begun

    def forget(self, data: DataSettings, cohort: str) -> None:
        """Delete a cohort that a trial has brought into this machine's cache.

        Args:
            cohort: name of its folder there.
        """
        folder = cache_folder(data)
        shutil.rmtree(folder / cohort, ignore_errors=True)
        (folder / f".{cohort}.lock").unlink(missing_ok=True)


def _versions() -> dict[str, str]:
    """Versions by name; ``missing`` for a package that is not installed. This project's has a digest of its source."""
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
    for path in sorted(path for package in _OWN_PACKAGES for path in (root / package).rglob("*.py")):
        content.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return content.hexdigest()[:10]


def _allowed(device: Path) -> bool:
    """Whether this container may use a GPU: its file is there even if not. A broken driver fails in other ways."""
    try:
        os.close(os.open(device, os.O_RDWR))
    except PermissionError:
        return False
    except OSError:
        return True
    return True


def _room(folder: str) -> Room | None:
    """Room on the disk of a folder, which need not exist yet; None for an object store."""
    where = open_folder(folder)
    if not isinstance(where, Path):
        return None
    existing = next(path for path in (where, *where.parents) if os.access(path, os.F_OK))
    disk = shutil.disk_usage(existing)
    return Room(str(where), disk.free, disk.total)


def _reason(act: Callable[[], object]) -> str | None:
    """Why an action fails, without names of files; None where it does not."""
    try:
        act()
    except FileNotFoundError:
        return "there is none"
    except OSError as error:
        return error.strerror or errno.errorcode.get(error.errno or 0, type(error).__name__)
    except Exception as error:  # every object store has its own kinds
        return str(error).splitlines()[0] if str(error) else type(error).__name__
    return None

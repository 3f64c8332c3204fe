"""Benchmark patches on demand: cropping beside the network, and the memory of a second worker."""

from __future__ import annotations

import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from benchmarks.measure import Figure, private_bytes, ratio
from benchmarks.speed.steps import Problem
from sldd.backbones.init import initialise
from sldd.backbones.registry import build
from sldd.data.cohort import open_decoded, prepare
from sldd.data.patches import BalancedBatches, Patches, PatchSettings
from sldd.io.film import Film
from sldd.rng import stream

PUBLISHED = PatchSettings(size=299, stride=50, input_size=224)
_SIDE = 2048


class Films:
    """A source of 2048 x 2048 films of noise with an organ in the middle: quick to make, as slow to read as any."""

    classes: Sequence[str] = ()
    smallest_class = None

    def __init__(self, patients: int) -> None:
        self.films: Sequence[Film] = [Film(n, n % 2, None, f"film {n + 1}") for n in range(patients)]
        self.patient_ids = [f"{n:04d}" for n in range(patients)]
        self._noise = np.random.default_rng(0).integers(0, 256, (_SIDE, _SIDE), dtype=np.uint8)
        self._organ = np.zeros((_SIDE, _SIDE), bool)
        self._organ[400:1650, 400:1650] = True

    def fingerprint(self) -> str:
        """Names the cache folder."""
        return f"{len(self.films):064d}"

    def read(self, film: int) -> tuple[np.ndarray, np.ndarray | None]:
        """The same noise, shifted."""
        return np.roll(self._noise, film * 7, axis=1), self._organ


def figures() -> Iterator[Figure]:
    """Cropping and memory."""
    with tempfile.TemporaryDirectory() as cache:
        cohort = prepare(Films(200), Path(cache))
        patches = Patches(cohort, PUBLISHED, 128.0, 74.0)
        yield Figure("scoring a 2048 x 2048 film / the bare network, resnet18, 224 px", _scoring(patches), 1.10)
        batches = BalancedBatches(patches, range(20))
        plain = Problem("resnet18", side=224, batch=64, classes=3, images=3).plain()
        cut = ratio(lambda: batches.draw(stream(0, "benchmark"), 64), plain)
        yield Figure("balanced batch of 64 / plain step, resnet18, 224 px", cut, 0.10)
        yield Figure("private memory of a second worker on 200 films", _second_worker(cohort.folder) / 1e6, 50.0, "MB")


def _scoring(patches: Patches) -> float:
    """Median over the batches of one film: cropping and the network, by the network alone."""
    network = build("resnet18", input_size=224)
    initialise(network, 0)
    network.eval()
    times = []
    with torch.no_grad():
        begun = time.perf_counter()
        for crops, _ in patches.scan(0, 56, torch.device("cpu")):  # 22 batches
            cut = time.perf_counter()
            network(crops)
            done = time.perf_counter()
            times.append((done - begun) / (done - cut))
            begun = time.perf_counter()
    return statistics.median(times)


def _second_worker(folder: Path) -> int:
    """Bytes that a process adds for itself alone by using every film, while this process holds them all."""
    _held.append(_touch(folder))  # pages that one process alone has mapped would count as that process's own
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(_grown, (folder,))


_held: list[object] = []


def _grown(folder: Path) -> int:
    before = private_bytes()
    _held.append(_touch(folder))
    return private_bytes() - before


def _touch(folder: Path) -> object:
    cohort = open_decoded(folder)
    patches = Patches(cohort, PUBLISHED, 128.0, 74.0)
    batches = BalancedBatches(patches, range(cohort.patients))
    for film in range(len(cohort.shapes)):
        cohort.pixels(film).max()
    return cohort, patches, batches

"""Packages made in a second: a small network that nobody trained, with inner steps that do something."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sldd.backbones.init import initialise, layer_fingerprints
from sldd.backbones.norms import keep_no_statistics, measure_statistics
from sldd.backbones.registry import build
from sldd.data.patches import PatchSettings
from sldd.package import Claims, Package, Scores
from sldd.package.format.container import Container, digest, read, to_bytes
from sldd.package.rebuild.rebuild import take_steps
from sldd.package.rebuild.self_test import with_self_test
from sldd.rng import stream
from sldd.sources.phantom import PhantomSettings, phantom_patient
from tests.conftest import write_film, write_manifest

SIDE = 32
PATCHES = PatchSettings(size=32, stride=16, score_stride=24, input_size=SIDE)
SCORES = Scores(10, 5, 1, 0.8, 0.6, 0.6857, 0.7)
Files = Callable[[Package], Path]


def make(
    backbone: str = "lenet",
    *,
    norm: str = "batch",
    steps: int = 2,
    epochs: int = 1,
    seed: int = 3,
    fastest: float = 0.06,
    channels: int = 1,
    **changed: Any,
) -> Package:
    """A package of images of noise; the statistics are those of its own network on noise."""
    random = stream(seed, "tests", "package")
    network = build(backbone, input_size=SIDE, norm=norm, channels=channels)
    initialise(network, seed)
    images = torch.from_numpy(random.standard_normal((steps, 3, channels, SIDE, SIDE), np.float32))
    rates = torch.from_numpy(random.uniform(0.01, fastest, (epochs, steps)).astype(np.float32))
    facts: dict[str, Any] = {
        "inner_weights": "all",
        "momentum": 0.0,
        "inner_precision": "float32",
        "norm": norm,
        "start": "xavier",
        "mean": 120.0 if channels == 1 else (40.0, 120.0, 200.0),
        "deviation": 45.0 if channels == 1 else (10.0, 20.0, 30.0),
        "channels": channels,
        "delta": 0.45,
        "claims": Claims("validation", SCORES, replace(SCORES, patients=24)),
    }
    package = Package(
        backbone=backbone,
        seed=seed,
        start_fingerprints=layer_fingerprints(network),
        images=images,
        labels=torch.eye(3).expand(steps, -1, -1) + torch.from_numpy(random.normal(0, 0.1, (steps, 3, 3))).float(),
        rates=rates,
        theta_bn={},
        patches=PATCHES,
        **(facts | changed),
    )
    keep_no_statistics(network)
    real = torch.from_numpy(random.standard_normal((24, channels, SIDE, SIDE), np.float32))
    before = measure_statistics(network, network, [real]) if package.inner_weights == "head" else None
    take_steps(package, network)
    after = measure_statistics(network, network, [real])
    return with_self_test(replace(package, theta_bn=after if before is None else before))


@pytest.fixture(scope="session")
def package() -> Package:
    """Two steps with a rate each."""
    return make()


@pytest.fixture
def saved(package: Package, tmp_path: Path) -> Path:
    path = tmp_path / "package.safetensors"
    package.save(path)
    return path


@pytest.fixture
def file_of(tmp_path: Path) -> Files:
    """Saves a package as somebody does who makes the digest anew, and nothing else."""

    def save(package: Package) -> Path:
        package.save(tmp_path / "changed.safetensors")
        return tmp_path / "changed.safetensors"

    return save


def reseal(path: Path, out: Path, **facts: Any) -> Path:
    """A copy with other facts and a digest that holds."""
    container = read(path)
    text = json.dumps(
        json.loads(container.metadata["facts"]) | facts, sort_keys=True, separators=(",", ":"), allow_nan=False
    )
    metadata = container.metadata | {"facts": text}
    metadata["digest"] = digest(metadata["format"], text, container.tensors)
    out.write_bytes(to_bytes(Container(metadata, container.tensors)))
    return out


@pytest.fixture(scope="session")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six phantom patients with a manifest; the first has two films."""
    folder = tmp_path_factory.mktemp("films")
    rows = []
    for index in range(7):
        pixels, mask = phantom_patient(PhantomSettings(patients=8, size=96, seed=1), index + (index == 6))
        write_film(folder, f"{index}.png", pixels, mask)
        patient, label = (0, 0) if index == 6 else (index, index % 2)
        rows.append(f"Jane Doe {patient},images/{index}.png,masks/{index}.png,{label}")
    write_manifest(folder, rows)
    return folder

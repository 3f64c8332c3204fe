"""A small synthetic ledger with real threshold curves and packages, and a pen to write other ledgers with."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from playwright.sync_api import Browser, sync_playwright
from safetensors.numpy import save_file

from analysis.records.records import Study, read_study

# Backbone -> parameters and, for 1, 2 and 3 images, how well it tells patients apart (0 is not at all).
NETWORKS = {
    "test_convnet": (118_403, (1.6, 1.7, 1.9)),
    "test_resnet": (470_211, (0.9, 1.9, 2.1)),
    "test_vgg": (2_310_659, (0.2, 0.8, 2.4)),
}


class Ledger:
    """Writes one study's files the way `study.run` does."""

    def __init__(self, folder: Path, **described: Any) -> None:
        self.folder = folder
        self.described = {
            "format": 1,
            "name": folder.name,
            "command": f"python -m study.run {folder.name}",
            "config": {"grid": {"images": [1, 2, 3]}, "search": {"trials": 1, "repeats": 2}},
            "provenance": {
                "versions": {"python": "3.11.7", "torch": "2.9.0"},
                "revision": "0123abc",
                "cohort": {
                    "fingerprint": "fe" * 8,
                    "patients": 60,
                    "splits": {"train": 24, "validation": 12, "test": 24},
                },
                "threads": 1,
                "started": "2026-11-21T22:30:00+00:00",
            },
            "cells": [],
            **described,
        }
        folder.mkdir(parents=True)
        self.save()

    def save(self) -> None:
        (self.folder / "study.yaml").write_text(yaml.safe_dump(self.described, sort_keys=False, allow_unicode=True))

    def cell(
        self, backbone: str, parameters: int, images: int | None, refused: str | None = None, **changed: Any
    ) -> str:
        entry = {
            "cell": f"{backbone}-m{images}-one_hot-as_is-sldd-s1e1",
            "backbone": backbone,
            "parameters": parameters,
            "images": images,
            "label_init": "one_hot",
            "norm": "as_is",
            "method": "sldd",
            "distill_steps": 1,
            "distill_epochs": 1,
            "refused": refused,
        } | changed
        self.described["cells"].append(entry)
        self.save()
        return str(entry["cell"])

    def trial(self, cell: str, index: int, phase: str = "confirm", **changed: Any) -> Path:
        """A trial's folder and config.json; `changed` overrules what the cell says."""
        known = next((dict(entry) for entry in self.described["cells"] if entry["cell"] == cell), {"cell": cell})
        known.pop("refused", None)
        config = known | {
            "trial": f"{cell}/{index}",
            "index": index,
            "phase": phase,
            "attempt": 1,
            "seed": 100 + index,
            "outer_lr": 0.02,
            "inner_lr": 0.05,
            "delta": 0.37 if phase == "search" else None,
            "source": None if phase == "search" else 0,
        }
        folder = self.folder / "trials" / cell / str(index)
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(json.dumps(config | changed))
        return folder

    def rotated(self, backbone: str, parameters: int, images: int | None, folds: int, **changed: Any) -> list[str]:
        """The cells of one cell whose patients rotate: a cell a fold."""
        name = f"{backbone}-m{images}-one_hot-as_is-sldd-s1e1"
        return [
            self.cell(backbone, parameters, images, **{"cell": f"{name}-f{fold}", "fold": fold} | changed)
            for fold in range(folds)
        ]

    def done(
        self,
        cell: str,
        index: int,
        phase: str = "confirm",
        hm: float | None = 0.8,
        patients: list[dict[str, Any]] | None = None,
        **changed: Any,
    ) -> Path:
        """A finished trial; `hm` is its HM on its test patients (on validation patients for a search trial)."""
        split = {"sensitivity": hm, "specificity": hm, "hm": hm, "hm_at_0.4": hm, "auc": hm, "patch_accuracy": hm}
        split |= {"undecided_patients": 1, "curve": {"delta": [0.0, 0.5], "hm": [0.0, hm]}}
        split |= {"patients": voters(hm or 0.0) if patients is None else patients}
        test = split | {"undecided_patients": 2} if phase == "confirm" else None
        return self.end(self.trial(cell, index, phase), validation=split, test=test, **changed)

    def end(self, folder: Path, **changed: Any) -> Path:
        result = {
            "status": "done",
            "error": None,
            "attempt": 1,
            "delta": 0.41,
            "validation": None,
            "test": None,
            "outer_steps": 200,
            "seconds": 31.25,
            "peak_memory_mib": 512.0,
            "device": "cpu",
            "memory_mib": 1.8,
            "memory_star_kb": 28.1,
            "compression_rate": 0.0156,
            "rates": [[0.031]],
            "history": [{"step": 20, "loss": 1.01, "val_hm": 0.5, "val_auc": 0.61}],
        }
        (folder / "result.json").write_text(json.dumps(result | changed))
        return folder


@pytest.fixture
def ledger(tmp_path: Path) -> Callable[..., Ledger]:
    """`ledger(folder="demo", **study_yaml)`: an empty study to write trials into."""
    return lambda folder="demo", **described: Ledger(tmp_path / folder, **described)


@pytest.fixture
def mixed(ledger: Callable[..., Ledger]) -> Study:
    """Two label settings; a network that works, one that never does, one not confirmed; a diverged seed."""
    study = ledger("mixed")
    for init in ("one_hot", "uniform"):
        for name, parameters, hms in (("good", 1000, (0.6, 0.9)), ("never", 2000, (0.2, 0.3)), ("late", 4000, ())):
            for images in (1, 2):
                cell = study.cell(name, parameters, images, cell=f"{name}-{images}-{init}", label_init=init)
                study.done(cell, 0, "search", hm=0.99)
                if hms:
                    study.done(cell, 1, hm=hms[images - 1] - 0.05)
                    study.done(cell, 2, hm=hms[images - 1] + 0.05)
    study.end(study.trial("good-1-one_hot", 3), status="diverged")
    return read_study(study.folder)


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three backbones x three image counts, one search and two confirm trials each; not to be written to."""
    return write_demo(tmp_path_factory.mktemp("results") / "demo")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium, as the system has it."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        words = "chromium is not installed: the page was not looked at in a browser"
        pytest.fail(words) if os.environ.get("CI") else pytest.skip(words)
    with sync_playwright() as playwright:
        # A container's root, as in CI, has no sandbox.
        launched = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield launched
        launched.close()


def voters(right: float, each: int = 20, first: int = 0) -> list[dict[str, Any]]:
    """`each` negative and `each` positive test patients, of either the share `right` called right at any threshold."""
    return [
        {
            "patient": f"P-{first + 2 * place + label:08x}",
            "label": label,
            "votes": [50, 0, 10] if (label == 1) == (place < round(right * each)) else [50, 10, 0],
        }
        for place in range(each)
        for label in (0, 1)
    ]


def write_demo(folder: Path) -> Path:
    """The study of `demo`, in `folder`: patients scored at random, better with more images."""
    rng = np.random.default_rng(7)
    study = Ledger(folder)
    for backbone, (parameters, skills) in NETWORKS.items():
        for images, skill in enumerate(skills, start=1):
            cell = study.cell(backbone, parameters, images)
            for index in range(3):
                phase = "search" if index == 0 else "confirm"
                rates = dict(zip(("outer_lr", "inner_lr"), 10 ** rng.uniform((-3, -2.5), (-1, -0.5)), strict=True))
                trial = study.trial(cell, index, phase, **rates)
                validation = split(rng, 12, skill)
                delta = best_delta(validation["curve"])
                test = split(rng, 24, skill, delta) if phase == "confirm" else None
                size = {"memory_mib": parameters * 4 / 2**20, "memory_star_kb": images * 32 * 32 * 4 / 1000}
                study.end(trial, validation=at(validation, delta), test=test, delta=delta, **size)
                save_package(trial / "package.safetensors", rng, images)
    return folder


def split(rng: np.random.Generator, patients: int, skill: float, delta: float = 0.4) -> dict[str, Any]:
    """A SPLIT of the ledger: half the patients positive, 100 patches each, metrics at `delta`."""
    labels = np.arange(patients) % 2
    shares = 1 / (1 + np.exp(-rng.normal(skill * (2 * labels - 1), 0.9)))
    voting = rng.integers(40, 80, patients)
    positive = rng.binomial(voting, shares)
    scores = positive / voting
    thresholds = np.unique([0.0, *scores])
    votes = np.stack([100 - voting, voting - positive, positive], axis=1)
    return at(
        {
            "auc": float((scores[labels == 1][:, None] > scores[labels == 0]).mean()),
            "patch_accuracy": 0.7,
            "undecided_patients": 0,
            "curve": {"delta": thresholds.tolist(), "hm": [hm(labels, scores, each)[2] for each in thresholds]},
            "patients": [
                {"patient": f"P-{number:08x}", "label": int(label), "votes": vote.tolist()}
                for number, (label, vote) in enumerate(zip(labels, votes, strict=True))
            ],
        },
        delta,
    )


def at(scored: dict[str, Any], delta: float) -> dict[str, Any]:
    """The same split with its metrics at another threshold."""
    labels = np.array([patient["label"] for patient in scored["patients"]])
    votes = np.array([patient["votes"] for patient in scored["patients"]])
    scores = votes[:, 2] / votes[:, 1:].sum(axis=1)
    sensitivity, specificity, value = hm(labels, scores, delta)
    papers = {"hm_at_0.4": hm(labels, scores, 0.4)[2]}
    return scored | {"sensitivity": sensitivity, "specificity": specificity, "hm": value} | papers


def hm(labels: np.ndarray, scores: np.ndarray, delta: float) -> tuple[float, float, float]:
    sensitivity = float((scores[labels == 1] >= delta).mean())
    specificity = float((scores[labels == 0] < delta).mean())
    together = sensitivity + specificity
    return sensitivity, specificity, 2 * sensitivity * specificity / together if together else 0.0


def best_delta(curve: dict[str, list[float]]) -> float:
    return curve["delta"][int(np.argmax(curve["hm"]))]


def save_package(path: Path, rng: np.random.Generator, images: int, side: int = 32, steps: int = 1) -> None:
    """Blurred noise with labels near one-hot, the last one slightly negative somewhere."""
    noise = rng.normal(size=(steps, images, 1, side, side))
    smooth = sum(np.roll(noise, (x, y), (3, 4)) for x in range(-2, 3) for y in range(-2, 3)) / 5
    labels = np.eye(3)[[[1], [1, 2], [0, 1, 2]][images - 1]] + rng.normal(0.15, 0.1, (steps, images, 3))
    tensors = {
        "images": smooth,
        "labels": labels,
        "rates": np.array([[0.031] * steps]),
        "theta_bn/bn.mean": np.zeros(4),
    }
    save_file({name: tensor.astype(np.float32) for name, tensor in tensors.items()}, path, {"format": "1"})

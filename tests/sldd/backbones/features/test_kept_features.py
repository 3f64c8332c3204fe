"""Trials with features kept: the same numbers to the digit, and never the features of other patients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sldd.backbones.features.feature_store import FeatureStore
from sldd.backbones.features.kept_features import FeatureBatches
from sldd.backbones.head import Head
from sldd.backbones.init import initialise
from sldd.backbones.registry import build
from sldd.data.cohort import prepare
from sldd.data.multilabel_batches import FilmBatches
from sldd.data.patches import BalancedBatches, Patches, PatchSettings
from sldd.data.split import Split
from sldd.data.whole_films import WholeFilms
from sldd.distillation.distill import Distillation
from sldd.distillation.image_learner import DistillSettings
from sldd.metrics.evaluators import Evaluator
from sldd.metrics.film_evaluator import FilmEvaluator
from sldd.metrics.patient_evaluator import PatientEvaluator
from sldd.sources.folder import FolderSource
from sldd.training.outer_loop import OuterLoop
from sldd.training.outer_settings import OuterSettings
from tests.conftest import write_cohort
from tests.sldd.finding_cohort import finding_cohort

CPU = torch.device("cpu")
ROOM = 2**30
SPLIT = Split(train=[0, 1, 2, 3, 4, 5], validation=[6, 7], test=[8, 9, 10, 11])
OUTER = OuterSettings(steps=12, batch_size=12, evaluations=3, statistics_batches=2)


@pytest.fixture(scope="module")
def patches(tmp_path_factory: pytest.TempPathFactory) -> Patches:
    folder = write_cohort(tmp_path_factory.mktemp("cohort"))
    cohort = prepare(FolderSource(folder), folder / "cache")
    return Patches(cohort, PatchSettings(size=12, stride=4, input_size=32), *cohort.intensity(SPLIT.train))


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many real images each call of ``Head.features`` was of; two are the distilled ones, which are checked."""
    counted: list[int] = []
    features = Head.features

    def count(self: Head, images: torch.Tensor) -> torch.Tensor:
        if images.ndim == 4 and len(images) != 2:
            counted.append(len(images))
        return features(self, images)

    monkeypatch.setattr(Head, "features", count)
    monkeypatch.setattr(Head, "_of_noise", lambda self: "")  # of no real image
    return counted


def trial(
    patches: Patches,
    store: FeatureStore | None,
    *,
    split: Split = SPLIT,
    bank: int = 48,
    seed: int = 0,
    inner_lr: float = 0.05,
) -> tuple[Any, ...]:
    """All numbers of a trial: losses, evaluations, learned state, votes of test patients."""
    network = build("test_resnet", input_size=32)
    initialise(network, 0)
    learner = Distillation(
        network,
        torch.randn(1, 2, 1, 32, 32, generator=torch.Generator().manual_seed(0)),
        torch.eye(3)[:2],
        inner_lr=inner_lr,
        settings=DistillSettings(inner_weights="head", feature_bank=bank),
        store=store,
        seed=seed,
        device=CPU,
    )
    evaluator: Evaluator = PatientEvaluator(patches)
    batches = BalancedBatches(patches, split.train)
    loop = OuterLoop(learner, evaluator, batches, split, OUTER, rate=0.02, seed=seed, device=CPU)
    while not loop.finished:
        loop.advance()
    loop.close()
    assert loop.best is not None
    votes: Any = loop.score(split.test)
    state = {name: value.tolist() for name, value in loop.best.state.items()}
    return (
        loop.progress.losses,
        loop.progress.history,
        state,
        votes.votes.counts.tolist(),
        votes.votes.confusion.tolist(),
    )


class _Numbered:
    """Batches of five images of three classes: two of them come twice, others each time."""

    def get(self, number: int) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.zeros(5, 1), (number + torch.arange(5)) % 3

    def close(self) -> None:
        pass


def test_rows_are_drawn_of_as_many_of_each_class() -> None:
    batches = FeatureBatches(_Numbered(), lambda images: images, rows=15, seed=0)
    drawn = torch.cat([batches.get(number)[1] for number in range(30)])
    assert torch.bincount(drawn).tolist() == [50, 50, 50]


@pytest.mark.parametrize("bank", [48, 10_000])
def test_numbers_are_the_same_cold_warm_torn_and_absent(
    patches: Patches, tmp_path: Path, seen: list[int], bank: int
) -> None:
    absent = trial(patches, None, bank=bank)
    worked_out = len(seen)
    assert trial(patches, FeatureStore(tmp_path, ROOM), bank=bank) == absent  # cold
    files = sorted(tmp_path.iterdir())
    assert len(files) == 3  # the bank, validation patients, test patients
    seen.clear()
    assert trial(patches, FeatureStore(tmp_path, ROOM), bank=bank) == absent  # warm
    assert seen == []
    assert worked_out > 10
    for torn in files:
        content = torn.read_bytes()
        torn.write_bytes(content[: len(content) // 2])
        seen.clear()
        assert trial(patches, FeatureStore(tmp_path, ROOM), bank=bank) == absent
        assert 0 < len(seen) < worked_out
        assert torn.read_bytes() == content  # made again
    assert trial(patches, FeatureStore(files[0], ROOM), bank=bank) == absent  # no folder: nothing can be kept


def test_another_setting_of_the_search_has_the_same_features(patches: Patches, tmp_path: Path, seen: list[int]) -> None:
    trial(patches, FeatureStore(tmp_path, ROOM))
    seen.clear()
    found = trial(patches, FeatureStore(tmp_path, ROOM), inner_lr=0.2)
    assert seen == []
    assert found == trial(patches, None, inner_lr=0.2)


def _other_patients(patches: Patches) -> dict[str, Any]:
    return {"split": Split(train=[0, 1, 2, 3, 4, 5], validation=[8, 9], test=[6, 7, 10, 11])}


def _other_training(patches: Patches) -> dict[str, Any]:
    return {"split": Split(train=[0, 1, 2, 3, 8, 9], validation=[6, 7], test=[4, 5, 10, 11])}


def _other_seed(patches: Patches) -> dict[str, Any]:
    return {"seed": 1}


def _other_windows(patches: Patches) -> dict[str, Any]:
    settings = replace(patches.settings, stride=6)
    return {"patches": Patches(patches.cohort, settings, patches.mean, patches.std)}


def _other_brightness(patches: Patches) -> dict[str, Any]:
    return {"patches": Patches(patches.cohort, patches.settings, patches.mean + 1, patches.std)}


def _other_films(patches: Patches) -> dict[str, Any]:
    cohort = replace(patches.cohort, fingerprint="another")
    return {"patches": Patches(cohort, patches.settings, patches.mean, patches.std)}


@pytest.mark.parametrize(
    "change", [_other_patients, _other_training, _other_seed, _other_windows, _other_brightness, _other_films]
)
def test_others_are_never_taken(
    patches: Patches, tmp_path: Path, seen: list[int], change: Callable[[Patches], dict[str, Any]]
) -> None:
    trial(patches, FeatureStore(tmp_path, ROOM))
    changed: dict[str, Any] = {"patches": patches} | change(patches)
    absent = trial(store=None, **changed)
    seen.clear()
    assert trial(store=FeatureStore(tmp_path, ROOM), **changed) == absent
    assert seen


def test_films_without_a_fingerprint_are_not_kept(patches: Patches, tmp_path: Path) -> None:
    nameless = Patches(replace(patches.cohort, fingerprint=""), patches.settings, patches.mean, patches.std)
    assert trial(nameless, FeatureStore(tmp_path, ROOM)) == trial(patches, None)
    assert list(tmp_path.iterdir()) == []


def test_films_with_findings_are_kept(tmp_path: Path, seen: list[int]) -> None:
    cohort = finding_cohort(
        tmp_path / "cohort", [[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [1, 0, 0]], [0, 0, 1, 2, 2]
    )
    films = WholeFilms(cohort, 16, *cohort.intensity(range(3)))
    task = FilmEvaluator(films, FilmBatches(films, [0, 1, 2]).counts)
    network = build("lenet", input_size=16)
    initialise(network, 0)
    found = []
    for store in (None, FeatureStore(tmp_path / "kept", ROOM), FeatureStore(tmp_path / "kept", ROOM)):
        settings = DistillSettings(inner_weights="head")
        learner = Distillation(
            network, torch.zeros(1, 3, 1, 16, 16), torch.eye(3), inner_lr=0.1, settings=settings, store=store, seed=0,
            device=CPU,
        )  # fmt: skip
        weights = learner._unroll.start
        seen.clear()
        scored = task.score(
            lambda x, of=learner, w=weights: of.logits(w, x), [0, 2], batch=3, device=CPU, seen=learner.seen
        )
        found.append((scored.probabilities, list(seen)))
    assert [looked for _, looked in found] == [[3, 1], [3, 1], []]
    assert all(np.array_equal(probabilities, found[0][0]) for probabilities, _ in found)

"""The outer loop on a small cohort: it learns, resumes bit for bit, leaks nothing, and rebuilds from its package."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

from sldd.backbones.init import initialise, layer_fingerprints
from sldd.backbones.registry import build
from sldd.data.cohort import prepare
from sldd.data.patches import Patches, PatchSettings
from sldd.data.split import Split
from sldd.distillation.distill import Distillation
from sldd.distillation.image_learner import LEARNED, DistillSettings
from sldd.distillation.initial.labels import initial_labels
from sldd.errors import InputError
from sldd.metrics.patient_evaluator import PatientScores
from sldd.metrics.patient_votes import count_votes
from sldd.ops.types import Weights
from sldd.package import Package
from sldd.package.rebuild.rebuild import rebuild
from sldd.pipeline.task_data import PatchData
from sldd.sources.folder import FolderSource
from sldd.training.compute import ComputeSettings
from sldd.training.outer_loop import DivergedError, OuterLoop
from sldd.training.outer_settings import OuterSettings
from sldd.training.supervised import Training
from tests.conftest import write_cohort
from tests.sldd.training.resuming import finish, same

CPU = torch.device("cpu")
PATCHES = PatchSettings(size=12, stride=4, input_size=32)
SPLIT = Split(train=[0, 1, 2, 3, 4, 5], validation=[6, 7], test=[8, 9, 10, 11])
_LEARNED = {"sldd": LEARNED, "dd": ("images", "rates"), "random_real": ("labels", "rates")}
SETTINGS = OuterSettings(steps=12, batch_size=12, evaluations=3, statistics_batches=2, schedule="cosine")


@pytest.fixture(scope="module")
def patches(tmp_path_factory: pytest.TempPathFactory) -> Patches:
    folder = write_cohort(tmp_path_factory.mktemp("cohort"))
    cohort = prepare(FolderSource(folder), folder / "cache")
    return Patches(cohort, PATCHES, *cohort.intensity(SPLIT.train))


@pytest.fixture(scope="module")
def finished(patches: Patches) -> Callable[..., OuterLoop]:
    """A loop that ran to its end, for tests that only look at it: each is run once."""

    @cache
    def ended(method: str, distill: DistillSettings) -> OuterLoop:
        return finish(_loop(patches, method=method, distill=distill))

    return lambda method="sldd", distill=DistillSettings(): ended(method, distill)


def _loop(
    patches: Patches,
    *,
    method: str = "sldd",
    rate: float = 0.02,
    steps: int = 2,
    settings: OuterSettings = SETTINGS,
    distill: DistillSettings = DistillSettings(),
    compute: ComputeSettings = ComputeSettings(),
) -> OuterLoop:
    network = build("test_resnet", input_size=32)
    initialise(network, 0)
    learner: Any
    data, labels = PatchData(patches, SPLIT), initial_labels("one_hot", 3)
    if method == "train":
        learner = Training(network, device=CPU, compute=compute, track_statistics=settings.statistics == "exponential")
    else:
        learner = Distillation(
            network,
            data.initial_images(distill.image_init, labels, steps, 0),
            labels,
            epochs=steps,
            inner_lr=0.05,
            learned=_LEARNED[method],
            settings=distill,
            compute=compute,
            track_statistics=settings.statistics == "exponential",
            seed=0,
            device=CPU,
        )
    return OuterLoop(learner, data.evaluator(), data.batches, SPLIT, settings, rate=rate, seed=0, device=CPU)


EVERYTHING = DistillSettings(
    image_init="real",
    labels="softmax",
    rates="tensor",
    inner_momentum=0.5,
    window=2,
    clip=1.5,
    average=0.9,
)
HEAD = DistillSettings(inner_weights="head", feature_bank=60)  # five batches


@pytest.mark.parametrize(
    ("method", "distill", "cut"),
    [("sldd", DistillSettings(), 1), ("sldd", DistillSettings(), 7), ("sldd", EVERYTHING, 4)]
    + [("sldd", HEAD, 2), ("sldd", HEAD, 9)]
    + [("train", DistillSettings(), cut) for cut in (1, 4)],
)
def test_resuming_is_bit_for_bit(
    patches: Patches,
    finished: Callable[..., OuterLoop],
    tmp_path: Path,
    method: str,
    distill: DistillSettings,
    cut: int,
) -> None:
    first = _loop(patches, method=method, distill=distill)
    for _ in range(cut):
        first.advance()
    torch.save(first.state_dict(), tmp_path / "state.pt")
    second = _loop(patches, method=method, distill=distill)
    second.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    finish(second)
    assert same(finished(method, distill).state_dict(), second.state_dict())


def test_features_are_the_same_in_any_memory_format_and_part(patches: Patches) -> None:
    compute = ComputeSettings(channels_last=True, micro_batch=5)
    whole, parts = (_loop(patches, distill=HEAD, compute=settings) for settings in (ComputeSettings(), compute))
    for _ in range(8):
        assert whole.advance() == pytest.approx(parts.advance(), rel=1e-3)


@pytest.mark.parametrize("method", ["sldd", "train"])
def test_exponential_statistics_follow_the_real_batches(patches: Patches, tmp_path: Path, method: str) -> None:
    settings = dataclasses.replace(SETTINGS, statistics="exponential", steps=4, evaluations=2)
    whole = finish(_loop(patches, method=method, settings=settings))
    precise = finish(_loop(patches, method=method, settings=dataclasses.replace(settings, statistics="precise")))
    # What is learned does not depend on it, what is kept does; four steps of momentum 0.1 leave most of the start.
    assert same(whole.learner.state(), precise.learner.state())
    assert whole.best is not None
    assert precise.best is not None
    ours, theirs = (loop.best.theta_bn["bn1.running_var"] for loop in (whole, precise))  # type: ignore[union-attr]
    assert (ours - 1).abs().mean() < (theirs - 1).abs().mean()
    cut = _loop(patches, method=method, settings=settings)
    cut.advance()
    torch.save(cut.state_dict(), tmp_path / "state.pt")
    resumed = _loop(patches, method=method, settings=settings)
    resumed.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert same(finish(resumed).state_dict(), whole.state_dict())


@pytest.mark.parametrize("method", ["sldd", "dd", "train"])
def test_easy_cohort_is_learned(patches: Patches, method: str) -> None:
    settings = OuterSettings(steps=60, batch_size=24, evaluations=4, statistics_batches=2)
    loop = finish(_loop(patches, method=method, rate=0.003 if method == "train" else 0.03, steps=1, settings=settings))
    losses = loop.progress.losses
    assert sum(losses[-5:]) < 0.7 * sum(losses[:5])
    assert [entry["step"] for entry in loop.progress.history] == [15, 30, 45, 60]
    assert loop.best is not None
    assert loop.best.score == 1.0  # HM: all patients are told apart
    assert loop.best.key[0] > 0.9  # patient AUC and patch accuracy


def test_a_run_ends_where_nothing_gets_better(patches: Patches, tmp_path: Path) -> None:
    settings = dataclasses.replace(SETTINGS, steps=40, evaluations=20, patience=2)
    loop = finish(_loop(patches, rate=1e-9, settings=settings))
    assert loop.impatient
    assert loop.best is not None
    assert loop.progress.step < 40
    assert [entry["step"] > loop.best.step for entry in loop.progress.history[-2:]] == [True, True]
    cut = _loop(patches, rate=1e-9, settings=settings)
    while cut.progress.step < loop.progress.step - 1:
        cut.advance()
    torch.save(cut.state_dict(), tmp_path / "state.pt")
    resumed = _loop(patches, rate=1e-9, settings=settings)
    resumed.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert same(finish(resumed).state_dict(), loop.state_dict())


def test_patience_that_cannot_run_out_is_refused() -> None:
    with pytest.raises(InputError, match=r"^outer\.patience: 4 evaluations without a better state cannot pass"):
        OuterSettings(evaluations=4, patience=4).check()
    OuterSettings(evaluations=5, patience=4).check()


def test_fixed_labels_stay_fixed(finished: Callable[..., OuterLoop]) -> None:
    assert torch.equal(finished("dd").learner.state()["labels"], torch.eye(3).expand(2, 3, 3))
    assert not torch.equal(finished().learner.state()["labels"], torch.eye(3).expand(2, 3, 3))


@pytest.mark.parametrize("distill", [DistillSettings(image_init="real"), DistillSettings(inner_weights="head")])
def test_real_patches_stay_as_they_are(patches: Patches, distill: DistillSettings) -> None:
    begun = _loop(patches, distill=distill).learner.state()
    ended = finish(_loop(patches, method="random_real", distill=distill)).learner.state()
    assert torch.equal(begun["images"], ended["images"])
    assert all(not torch.equal(begun[name], ended[name]) for name in ("labels", "rates"))


def test_evaluating_changes_nothing_that_follows(patches: Patches) -> None:
    """Statistics of an evaluation must not reach the next outer step."""
    often, once = (
        finish(_loop(patches, settings=OuterSettings(steps=6, batch_size=12, evaluations=n, statistics_batches=2)))
        for n in (6, 1)
    )
    assert same(often.learner.state_dict(), once.learner.state_dict())


def test_what_was_scored_is_not_scored_again(patches: Patches, monkeypatch: pytest.MonkeyPatch) -> None:
    loop = finish(_loop(patches))
    assert loop.best is not None
    found = loop.score(SPLIT.validation)
    fresh = _loop(patches)
    fresh.load_state_dict(loop.state_dict())  # as after an interruption, when nothing is remembered
    assert same(found.history(), fresh.score(SPLIT.validation).history())
    loop.best.state = {name: 0 * value for name, value in loop.best.state.items()}  # as storing images may do
    assert loop.score(SPLIT.validation) is not found
    monkeypatch.setattr(loop.learner, "logits", None)
    loop.best.state = loop._best_scores[0]  # type: ignore[index]
    assert loop.score(SPLIT.validation) is found


def test_divergence_keeps_the_last_good_state(patches: Patches) -> None:
    loop = _loop(patches)
    for _ in range(4):
        loop.advance()
    good = loop.best
    loop.learner._learned["rates"].fill_(float("nan"))  # type: ignore[attr-defined]
    with pytest.raises(DivergedError, match="at outer step 5"):
        loop.advance()
    assert loop.best is good
    assert good is not None
    assert all(torch.isfinite(value).all() for value in good.state.values())


def test_logits_that_are_not_finite_are_a_divergence(patches: Patches, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of finite weights, where films overflow: they would vote for the first class."""
    loop, forward = _loop(patches), Distillation.logits

    def overflown(self: Distillation, weights: Weights, inputs: torch.Tensor) -> torch.Tensor:
        return forward(self, weights, inputs) * (torch.nan if loop.progress.step > 4 else 1)

    monkeypatch.setattr(Distillation, "logits", overflown)
    for _ in range(SETTINGS.steps // SETTINGS.evaluations * 2 - 1):
        loop.advance()
    with pytest.raises(DivergedError, match="logits are not finite: after outer step"):
        loop.advance()
    assert loop.best is not None


def test_another_network_whose_logits_are_not_finite_has_no_score(patches: Patches) -> None:
    network = build("test_resnet", input_size=32)
    with torch.no_grad():
        next(network.parameters()).fill_(torch.nan)
    with pytest.raises(DivergedError, match="logits are not finite: of a fresh start"):
        _loop(patches).score_network(network.eval(), SPLIT.test)


def test_statistics_that_are_not_finite_are_a_divergence(patches: Patches, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights may be finite where activations overflow; a package could not hold such a state."""
    loop, measured = _loop(patches), Distillation.theta_bn

    def overflown(self: Distillation, *given: Any) -> dict[str, torch.Tensor]:
        found = dict(measured(self, *given))
        if loop.progress.step > SETTINGS.steps // SETTINGS.evaluations:
            found["bn1.running_var"] = torch.full_like(found["bn1.running_var"], torch.inf)
        return found

    monkeypatch.setattr(Distillation, "theta_bn", overflown)
    with pytest.raises(DivergedError, match="batch norm's statistics are not finite after outer step 8"):
        finish(loop)
    assert loop.best is not None
    assert loop.best.step == 4, "the state before stays"


def _package(loop: OuterLoop, patches: Patches, distill: DistillSettings = DistillSettings()) -> Package:
    assert loop.best is not None
    network = build("test_resnet", input_size=32)
    initialise(network, 0)
    state = loop.best.state
    return Package(
        images=state["images"],
        labels=state["labels"],
        rates=state["rates"],
        theta_bn=loop.best.theta_bn,
        inner_weights=distill.inner_weights,
        momentum=distill.inner_momentum,
        inner_precision="float32",
        backbone="test_resnet",
        norm="as_is",
        start="xavier",
        seed=0,
        start_fingerprints=layer_fingerprints(network),
        mean=patches.mean,
        deviation=patches.std,
        patches=PATCHES,
        delta=0.5,
    )


@pytest.mark.parametrize("distill", [DistillSettings(), EVERYTHING, HEAD])
def test_package_rebuilds_the_network_that_was_scored(
    patches: Patches, finished: Callable[..., OuterLoop], tmp_path: Path, distill: DistillSettings
) -> None:
    loop = finished("sldd", distill)
    _package(loop, patches, distill).save(tmp_path / "package.safetensors")
    assert [path.name for path in tmp_path.glob("*.safetensors*")] == ["package.safetensors"]
    package = Package.load(tmp_path / "package.safetensors")
    assert package.patches == PATCHES
    votes = count_votes(rebuild(package), patches, SPLIT.test, batch=64, device=CPU)
    scores = loop.score(SPLIT.test)
    assert isinstance(scores, PatientScores)
    assert votes.counts.tolist() == scores.votes.counts.tolist()


def test_package_of_another_start_is_refused(patches: Patches, finished: Callable[..., OuterLoop]) -> None:
    package = _package(finished(), patches)
    object.__setattr__(package, "seed", 1)
    with pytest.raises(InputError, match=r"for test_resnet: its start has another layer conv1\.0\.weight and"):
        rebuild(package)


def test_broken_package_is_refused(tmp_path: Path) -> None:
    (tmp_path / "p.safetensors").write_bytes(b"half a fi")
    with pytest.raises(InputError, match="not a package"):
        Package.load(tmp_path / "p.safetensors")


def test_rates_never_become_negative(patches: Patches) -> None:
    loop = _loop(patches, rate=1.0)
    for _ in range(3):
        loop.advance()
    state = loop.learner.state()
    assert (state["rates"] > 0).all()


def test_the_outer_rate_warms_up(patches: Patches) -> None:
    settings = OuterSettings(steps=12, batch_size=12, evaluations=1, schedule="constant", warmup=3)
    loop = _loop(patches, rate=0.4, settings=settings)
    assert [round(loop._scheduled(step), 3) for step in range(5)] == [0.1, 0.2, 0.3, 0.4, 0.4]


def test_the_average_is_what_is_evaluated(patches: Patches) -> None:
    plain, averaged = (_loop(patches, distill=DistillSettings(average=decay)) for decay in (0.0, 0.99))
    states = []
    for loop in (plain, averaged):
        for _ in range(3):
            loop.advance()
        states.append(loop.learner.state()["images"])
    start = _loop(patches).learner.state()["images"]
    # The optimiser goes the same way; the average lags behind it.
    assert same(plain.learner.state_dict()["learned"], averaged.learner.state_dict()["learned"])
    assert 0 < (states[1] - start).norm() < (states[0] - start).norm()


def test_softmax_labels_stay_shares(patches: Patches) -> None:
    loop = _loop(patches, distill=DistillSettings(labels="softmax"), rate=0.3)
    begun = loop.learner.state()["labels"].clone()
    for _ in range(3):
        loop.advance()
    labels = loop.learner.state()["labels"]
    assert torch.allclose(begun.argmax(-1), torch.eye(3).argmax(-1).expand(2, 3))
    assert torch.allclose(labels.sum(-1), torch.ones(2, 3))
    assert not torch.allclose(labels, begun)


def test_real_starts_are_training_patches_of_their_class(patches: Patches) -> None:
    images = PatchData(patches, SPLIT).initial_images("real", initial_labels("one_hot", 3), 2, 0)
    assert images.shape == (2, 3, 1, 32, 32)
    brightness = images.mean((2, 3, 4))  # the cohort's organ is bright, brighter in positives
    assert (brightness.diff(dim=1) > 0).all()

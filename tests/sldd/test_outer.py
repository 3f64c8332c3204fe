"""The outer loop on a small cohort: it learns, resumes bit for bit, leaks nothing, and rebuilds from its package."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from sldd.backbones import build
from sldd.cohort import Split, prepare
from sldd.detect import count_votes
from sldd.distill import Design, Distillation, inner_rates
from sldd.errors import InputError
from sldd.initialise import fingerprint, initialise
from sldd.outer import DivergedError, OuterLoop, OuterSettings
from sldd.package import Package
from sldd.patches import Patches, PatchSettings
from sldd.sources.folder import FolderSource
from sldd.train import Training

CPU = torch.device("cpu")
PATCHES = PatchSettings(size=12, stride=4, input_size=32)
SPLIT = Split(train=[0, 1, 2, 3, 4, 5], validation=[6, 7], test=[8, 9, 10, 11])
SETTINGS = OuterSettings(steps=12, batch_size=12, evaluations=3, statistics_batches=2, schedule="cosine")


@pytest.fixture
def patches(cohort_folder: Path) -> Patches:
    cohort = prepare(FolderSource(cohort_folder), cohort_folder.parent / "cache")
    return Patches(cohort, PATCHES, *cohort.intensity(SPLIT.train))


def _loop(
    patches: Patches, *, method: str = "sldd", rate: float = 0.02, steps: int = 2, settings: OuterSettings = SETTINGS
) -> OuterLoop:
    network = build("test_resnet", input_size=32)
    initialise(network, 0)
    learner: Any = (
        Training(network, device=CPU)
        if method == "train"
        else Distillation(
            network,
            Design(3, steps=steps, epochs=steps, learn_labels=method == "sldd"),
            input_size=32,
            inner_lr=0.05,
            seed=0,
            device=CPU,
        )
    )
    return OuterLoop(learner, patches, SPLIT, settings, rate=rate, seed=0, device=CPU)


def _finish(loop: OuterLoop) -> OuterLoop:
    while not loop.finished:
        loop.advance()
    return loop


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other)


@pytest.mark.parametrize("method", ["sldd", "train"])
@pytest.mark.parametrize("cut", [1, 4, 7])
def test_resuming_is_bit_for_bit(patches: Patches, tmp_path: Path, method: str, cut: int) -> None:
    whole = _finish(_loop(patches, method=method))
    first = _loop(patches, method=method)
    for _ in range(cut):
        first.advance()
    torch.save(first.state_dict(), tmp_path / "state.pt")
    second = _loop(patches, method=method)
    second.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    _finish(second)
    assert _same(whole.state_dict(), second.state_dict())


@pytest.mark.parametrize("method", ["sldd", "dd", "train"])
def test_easy_cohort_is_learned(patches: Patches, method: str) -> None:
    settings = OuterSettings(steps=40, batch_size=24, evaluations=4, statistics_batches=2)
    loop = _finish(_loop(patches, method=method, rate=0.003 if method == "train" else 0.02, steps=1, settings=settings))
    losses = loop.progress.losses
    assert sum(losses[-5:]) < 0.7 * sum(losses[:5])
    assert [entry["step"] for entry in loop.progress.history] == [10, 20, 30, 40]
    assert loop.best is not None
    assert loop.best.key[0] == 1.0


def test_fixed_labels_stay_fixed(patches: Patches) -> None:
    loop = _finish(_loop(patches, method="dd"))
    assert torch.equal(loop.learner.state()["labels"], torch.eye(3).expand(2, 3, 3))
    assert not torch.equal(_finish(_loop(patches)).learner.state()["labels"], torch.eye(3).expand(2, 3, 3))


def test_evaluating_changes_nothing_that_follows(patches: Patches) -> None:
    """Statistics of an evaluation must not reach the next outer step."""
    often, once = (
        _finish(_loop(patches, settings=OuterSettings(steps=6, batch_size=12, evaluations=n, statistics_batches=2)))
        for n in (6, 1)
    )
    assert _same(often.learner.state_dict(), once.learner.state_dict())


def test_divergence_keeps_the_last_good_state(patches: Patches) -> None:
    loop = _loop(patches)
    for _ in range(4):
        loop.advance()
    good = loop.best
    loop.learner._learned["raw_rates"].fill_(float("nan"))  # type: ignore[attr-defined]
    with pytest.raises(DivergedError, match="at outer step 5"):
        loop.advance()
    assert loop.best is good
    assert good is not None
    assert all(torch.isfinite(value).all() for value in good.state.values())


def _package(loop: OuterLoop, patches: Patches) -> Package:
    assert loop.best is not None
    network = build("test_resnet", input_size=32)
    initialise(network, 0)
    state = loop.best.state
    return Package(
        images=state["images"],
        labels=state["labels"],
        rates=inner_rates(state),
        theta_bn=loop.best.theta_bn,
        backbone="test_resnet",
        norm="as_is",
        seed=0,
        start_fingerprint=fingerprint(network),
        mean=patches.mean,
        deviation=patches.deviation,
        patches=PATCHES,
        delta=0.5,
    )


def test_package_rebuilds_the_network_that_was_scored(patches: Patches, tmp_path: Path) -> None:
    loop = _finish(_loop(patches))
    _package(loop, patches).save(tmp_path / "package.safetensors")
    assert [path.name for path in tmp_path.glob("*.safetensors*")] == ["package.safetensors"]
    package = Package.load(tmp_path / "package.safetensors")
    assert package.patches == PATCHES
    votes = count_votes(package.rebuild(), patches, SPLIT.test, batch=64, device=CPU)
    assert votes.counts.tolist() == loop.score(SPLIT.test).counts.tolist()


def test_package_of_another_start_is_refused(patches: Patches, tmp_path: Path) -> None:
    package = _package(_finish(_loop(patches)), patches)
    object.__setattr__(package, "seed", 1)
    with pytest.raises(InputError, match="start of test_resnet differs"):
        package.rebuild()


def test_broken_package_is_refused(tmp_path: Path) -> None:
    (tmp_path / "p.safetensors").write_bytes(b"half a fi")
    with pytest.raises(InputError, match="not a readable package"):
        Package.load(tmp_path / "p.safetensors")


def test_rates_never_become_negative(patches: Patches) -> None:
    loop = _loop(patches, rate=1.0)
    for _ in range(3):
        loop.advance()
    state = loop.learner.state()
    assert (inner_rates(state) > 0).all()

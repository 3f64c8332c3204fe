"""A network that starts from the one that a package stands for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import sldd
from sldd.backbones.registry import build
from sldd.errors import InputError
from sldd.package import Package
from sldd.package.cli.commands import main
from sldd.package.format.package import is_package
from sldd.package.rebuild.rebuild import rebuild, set_start
from sldd.package.rebuild.verify import verify
from tests.sldd.package.conftest import SIDE, make


def _start(path: Path, seed: int = 9, classes: str = "INP", backbone: str = "lenet") -> dict[str, torch.Tensor]:
    network = build(backbone, input_size=SIDE, norm="batch", classes=len(classes))
    set_start(network, backbone=backbone, start=str(path), seed=seed, norm="batch", classes=list(classes))
    return {name: value.detach().clone() for name, value in network.named_parameters()}


def test_it_has_the_weights_of_the_packages_network(saved: Path, package: Package) -> None:
    found = _start(saved)
    for name, value in rebuild(package).named_parameters():
        assert torch.equal(found[name], value), name


@pytest.mark.parametrize("classes", ["abcde", "abc", "NIP"])
def test_a_classifier_of_other_classes_is_drawn_by_seed(saved: Path, classes: str) -> None:
    one, other, theirs = _start(saved, classes=classes), _start(saved, seed=10, classes=classes), _start(saved)
    changed = [name for name in one if not torch.equal(one[name], other[name])]
    assert changed
    assert {one[name].shape[0] for name in changed} <= {len(classes)}
    assert all(torch.equal(value, theirs[name]) for name, value in one.items() if not name.startswith("11."))


def test_a_receivers_own_package_starts_there_and_verifies(saved: Path, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    classes = np.arange(30) % 3
    films = (random.integers(0, 90, (30, SIDE, SIDE)) + 60 * classes[:, None, None]).astype(np.uint8)
    cohort = sldd.open_cohort(films, classes, cache=tmp_path / "cache")
    distilled = sldd.distill(
        "lenet",
        cohort,
        norm="batch",
        start=saved,
        patches=sldd.PatchSettings(input_size=SIDE),
        outer=sldd.OuterSettings(steps=2, batch_size=6, evaluations=1, statistics_batches=1),
        split=sldd.SplitSettings(validation=0.2, test=0.2),
    )
    assert distilled.package.start == saved.name
    out = distilled.save(tmp_path / "own.safetensors")
    assert verify(out, start=saved).passed
    other = make(seed=4)
    other.save(tmp_path / "other.safetensors")
    (failed,) = verify(out, start=tmp_path / "other.safetensors").failures
    assert "its start has another layer" in failed.words


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"start": "weights.pt"}, "convert --weights"),
        ({"backbone": "convnet_w32"}, "is a package of convnet_w32, not of lenet"),
        ({"norm": "group"}, "with norm group, not batch; set grid.norm="),
    ],
)
def test_what_cannot_be_a_start_says_why(saved: Path, package: Package, change: dict[str, str], words: str) -> None:
    replace(package, **change).save(saved)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=words):
        _start(saved)


def test_a_changed_package_is_no_start(saved: Path) -> None:
    content = bytearray(saved.read_bytes())
    content[-1] ^= 1
    saved.write_bytes(content)
    with pytest.raises(InputError, match="changed after it was made"):
        _start(saved)


def test_a_file_of_weights_is_no_package(saved: Path, tmp_path: Path) -> None:
    assert is_package(saved)
    torch.save({}, tmp_path / "weights.pt")
    (tmp_path / "cut.safetensors").write_bytes(saved.read_bytes()[:40])
    assert not is_package(tmp_path / "weights.pt")
    assert not is_package(tmp_path / "cut.safetensors")
    assert not is_package(tmp_path / "nowhere.safetensors")
    with pytest.raises(InputError, match="there is no such file"):
        _start(tmp_path / "nowhere.safetensors")


def test_a_package_can_include_the_weights_of_its_start(saved: Path, tmp_path: Path) -> None:
    out = tmp_path / "whole.safetensors"
    assert main(["convert", str(saved), "--weights", "--out", str(out)]) == 0
    replace(Package.load(out), start="weights.pt").save(tmp_path / "named.safetensors")
    assert _start(tmp_path / "named.safetensors").keys() == _start(saved).keys()

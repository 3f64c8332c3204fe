"""What a trial packs: the images as they are scored, claims as the result has them, and a signature where asked for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sldd.errors import InputError
from sldd.package import Package, PackageSettings, Stored
from sldd.package.format.container import read
from sldd.package.format.signature import check, generate
from sldd.training.outer_loop import Best
from study.config.loader import as_tree, differences, parse
from study.config.tasks.patches import PATCHES
from study.trial.package import claims, pack, store_images
from tests.sldd.package.conftest import make

SPLIT = {
    "patients": [
        {"patient": "P-1", "label": 1, "votes": [0, 1, 2]},
        {"patient": "P-2", "label": 0, "votes": [3, 0, 0]},
    ],
    "undecided_patients": 1,
    "sensitivity": 1.0,
    "specificity": None,
    "hm": None,
    "auc": 0.5,
}


@pytest.fixture(scope="module")
def package() -> Package:
    return replace(make(), self_test=None, expected=None)


def test_what_is_scored_are_the_images_as_they_are_stored(package: Package) -> None:
    best = Best(3, (0.5, 0.5, 0.5), {"images": package.images, "labels": package.labels}, {}, 0.5)
    original, cost = store_images(best, PackageSettings(images="uint8"))
    assert torch.equal(original, package.images)
    moved = (best.state["images"] - original).abs()
    assert float(moved.max()) == pytest.approx(cost.largest) != 0
    content, packed = pack(
        replace(package, images=best.state["images"], stored=cost), "xavier", original, PackageSettings()
    )
    assert len(content) < 4 * original.numel() + 20_000
    kept = best.state["images"]
    assert store_images(best, PackageSettings())[1] == Stored()
    assert best.state["images"] is kept
    assert packed.stored.images == "uint8"
    assert 0 < packed.stored.outputs < 1


def test_claims_are_counts_and_scores_without_a_patient() -> None:
    found = claims({"validation": SPLIT, "test": None}, PATCHES, "paper", 2, Stored("float16", 0.1, 0.1))
    assert (found.protocol, found.fold, found.images, found.test) == ("paper", 2, "float16", None)
    assert (found.validation.patients, found.validation.positive, found.validation.undecided) == (2, 1, 1)
    assert "P-1" not in str(found)


def test_packages_are_signed_where_there_is_a_key(package: Package, tmp_path: Path) -> None:
    generate(tmp_path / "key")
    settings = PackageSettings(key=str(tmp_path / "key"), signer="Hospital A", weights=True)
    content, _ = pack(package, "xavier", package.images, settings)
    (tmp_path / "package.safetensors").write_bytes(content)
    signature = check(read(tmp_path / "package.safetensors"))
    assert signature is not None
    assert signature.signer == "Hospital A"
    assert Package.load(tmp_path / "package.safetensors").weights is not None
    with pytest.raises(InputError, match="there is no such key file"):
        pack(package, "xavier", package.images, replace(settings, key=str(tmp_path / "gone")))


def test_how_images_are_stored_is_what_a_study_means_and_the_rest_is_not() -> None:
    tree = {"name": "x", "grid": {"backbone": "lenet", "images": 3}}
    old = as_tree(parse(tree))
    del old["package"]  # a study of an earlier version
    assert differences(old, as_tree(parse(tree))) == []
    signed = as_tree(parse(tree | {"package": {"weights": True, "key": "k", "signer": "A"}}))
    assert differences(old, signed) == []
    smaller = as_tree(parse(tree | {"package": {"images": "uint8"}}))
    assert differences(old, smaller) == ["package.images was 'float32' and is now 'uint8'"]
